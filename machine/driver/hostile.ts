// What no virtio driver may do, one action each, for tests that a guest can harm only itself.
import { allOnes } from "../bits.ts";
import { DescriptorFlag } from "./virtqueue.ts";
import { RECEIVE, TRANSMIT, Virtio, type VirtioNetDriver } from "./virtio-net.ts";

const LARGEST = 0xffff_ffff;
const { Next, Write, Indirect } = DescriptorFlag;

/** Makes a chain that begins at descriptor 0 available in a queue and notifies the card. */
function offer(driver: VirtioNetDriver, queue: typeof RECEIVE | typeof TRANSMIT, head = 0): void {
  const virtqueue = queue === RECEIVE ? driver.receiveQueue : driver.transmitQueue;
  virtqueue.setAvailable(virtqueue.availableIndex++, head);
  virtqueue.publish();
  driver.setRegister(Virtio.QueueNotify, 2, queue);
}

type Action = (driver: VirtioNetDriver, address: number) => void;

/** Each takes an address that is not the guest's to use: in Sheer's block, or where no memory is. */
export const HOSTILE: Readonly<Record<string, Action>> = {
  "a chain that is a loop": (driver) => {
    const address = driver.allocate(64);
    driver.transmitQueue.setDescriptor(0, { address, length: 64, flags: Next, next: 1 });
    driver.transmitQueue.setDescriptor(1, { address, length: 64, flags: Next, next: 0 });
    offer(driver, TRANSMIT);
  },
  "a loop of empty descriptors": (driver) => {
    driver.transmitQueue.setDescriptor(0, { address: 0, length: 0, flags: Next, next: 0 });
    offer(driver, TRANSMIT);
  },
  "a next descriptor beyond the table": (driver) => {
    driver.transmitQueue.setDescriptor(0, { address: driver.allocate(64), length: 64, flags: Next, next: 0xfff0 });
    offer(driver, TRANSMIT);
  },
  "a head beyond the table": (driver) => offer(driver, TRANSMIT, 0xffff),
  "an available index far ahead": (driver) => {
    driver.transmitQueue.setAvailableIndex(driver.transmitQueue.availableIndex + 0x7000);
    driver.setRegister(Virtio.QueueNotify, 2, TRANSMIT);
  },
  "a frame to be sent from a forbidden address": (driver, address) => {
    driver.transmitQueue.setDescriptor(0, { address: driver.allocate(16), length: 10, flags: Next, next: 1 });
    driver.transmitQueue.setDescriptor(1, { address, length: 64, flags: 0, next: 0 });
    offer(driver, TRANSMIT);
  },
  "a frame that ends in forbidden memory": (driver, address) => {
    driver.transmitQueue.setDescriptor(0, { address: driver.allocate(16), length: 10, flags: Next, next: 1 });
    driver.transmitQueue.setDescriptor(1, { address: address - 32, length: 64, flags: 0, next: 0 });
    offer(driver, TRANSMIT);
  },
  "a receive buffer at a forbidden address": (driver, address) => {
    driver.receiveQueue.setDescriptor(0, { address, length: 2048, flags: Write, next: 0 });
    offer(driver, RECEIVE);
  },
  "a receive buffer that wraps around": (driver) => {
    driver.receiveQueue.setDescriptor(0, { address: -64n, length: 2048, flags: Write, next: 0 });
    offer(driver, RECEIVE);
  },
  "a receive buffer the device may not write": (driver) => {
    driver.receiveQueue.setDescriptor(0, { address: driver.allocate(2048), length: 2048, flags: 0, next: 0 });
    offer(driver, RECEIVE);
  },
  "a frame of no bytes": (driver) => {
    driver.transmitQueue.setDescriptor(0, { address: driver.allocate(16), length: 0, flags: 0, next: 0 });
    offer(driver, TRANSMIT);
  },
  "a header and nothing else": (driver) => {
    driver.transmitQueue.setDescriptor(0, { address: driver.allocate(16), length: 10, flags: 0, next: 0 });
    offer(driver, TRANSMIT);
  },
  "a frame of 4 GiB": (driver) => {
    driver.transmitQueue.setDescriptor(0, { address: driver.allocate(16), length: LARGEST, flags: 0, next: 0 });
    offer(driver, TRANSMIT);
  },
  "a frame over every descriptor of the queue": (driver) => {
    const { transmitQueue } = driver;
    const address = driver.allocate(4096);
    for (let i = 0; i < transmitQueue.size; i++) {
      const last = i === transmitQueue.size - 1;
      transmitQueue.setDescriptor(i, { address, length: 4096, flags: last ? 0 : Next, next: i + 1 });
    }
    offer(driver, TRANSMIT);
  },
  "an indirect table at a forbidden address": (driver, address) => {
    driver.transmitQueue.setDescriptor(0, { address, length: 64, flags: Indirect, next: 0 });
    offer(driver, TRANSMIT);
  },
  "an indirect table within an indirect table": (driver) => {
    const table = driver.allocate(16);
    driver.transmitQueue.writeDescriptor(table, { address: table, length: 16, flags: Indirect, next: 0 });
    driver.transmitQueue.setDescriptor(0, { address: table, length: 16, flags: Indirect, next: 0 });
    offer(driver, TRANSMIT);
  },
  "an indirect table of odd length": (driver) => {
    driver.transmitQueue.setDescriptor(0, { address: driver.allocate(32), length: 17, flags: Indirect, next: 0 });
    offer(driver, TRANSMIT);
  },
  "a queue at a forbidden address": (driver, address) => {
    driver.setRegister(Virtio.QueueSelect, 2, TRANSMIT);
    driver.setRegister(Virtio.QueueAddress, 4, Math.floor(address / 4096));
    driver.setRegister(Virtio.QueueNotify, 2, TRANSMIT);
  },
  "a queue at the end of the address space": (driver) => {
    driver.setRegister(Virtio.QueueSelect, 2, RECEIVE);
    driver.setRegister(Virtio.QueueAddress, 4, LARGEST);
    driver.setRegister(Virtio.QueueNotify, 2, RECEIVE);
  },
  "a queue that does not exist": (driver) => {
    driver.setRegister(Virtio.QueueSelect, 2, 7);
    driver.setRegister(Virtio.QueueAddress, 4, 0x1234);
    driver.setRegister(Virtio.QueueVector, 2, 0);
    for (const queue of [2, 7, 0x8000, 0xffff]) driver.setRegister(Virtio.QueueNotify, 2, queue);
  },
  "registers at every offset and width": (driver) => {
    for (const width of [1, 2, 4] as const) {
      for (let offset = 0; offset + width <= 32; offset++) {
        driver.register(offset, width);
        if (offset >= Virtio.ConfigVector) driver.setRegister(offset, width, allOnes(width));
      }
    }
  },
};
