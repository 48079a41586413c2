// How frames come into the guest's buffers: written there by the card, or copied where a buffer is not fit for that.
import { describe, expect, it } from "vitest";
import { CapType, Common, NetFeature } from "../../../machine/driver/layout.ts";
import { RECEIVE, VirtioNetDriver } from "../../../machine/driver/virtio-net.ts";
import { Reg } from "../../../machine/e1000/registers.ts";
import type { Machine } from "../../../machine/machine.ts";
import { Command } from "../../../machine/pci/function.ts";
import { ALL_FEATURES, drive, frame, INTEL_MODELS, modernTransport, offer, settle, start } from "./setup.ts";

const MEMORY = 0x40_0000;
const MEMORY_SIZE = 0x40_0000;
/** Bytes that Linux asks for, header included: an Ethernet header, a VLAN tag and the MTU. */
const BUFFER = 12 + 14 + 4 + 1500;

/** Where the descriptors point that the card has now. */
function cardBuffers({ card, memory }: Machine): number[] {
  const { registers } = card;
  const count = registers.get(Reg.RDLEN) / 16;
  const buffers: number[] = [];
  for (let at = registers.get(Reg.RDH); at !== registers.get(Reg.RDT); at = (at + 1) % count) {
    buffers.push(Number(memory.read64(registers.get64(Reg.RDBAL) + 16 * at)));
  }
  return buffers;
}
function guests(address: number): boolean {
  return address >= MEMORY && address < MEMORY + MEMORY_SIZE;
}

/** What was used: its header and what comes after it. */
function used(driver: VirtioNetDriver, places: readonly number[]): { header: number[]; body: Uint8Array }[] {
  const { memory } = driver.guest.processor;
  return driver.receiveQueue.takeUsed().map(({ id, length }) => {
    const bytes = memory.readBytes(places[id]!, length);
    return { header: [...bytes.subarray(0, driver.headerSize)], body: bytes.slice(driver.headerSize) };
  });
}

describe.each(INTEL_MODELS)("%s", (model) => {
  const machine = start(model);
  const driveIt = (features = ALL_FEATURES, kind: "legacy" | "modern" = "modern"): VirtioNetDriver => {
    const driver = drive(machine, model, { features, interface: kind, memory: MEMORY });
    driver.collect = () => [];
    return driver;
  };

  it("receives straight into the guest's buffers, after room for the header", () => {
    const driver = driveIt();
    const places = offer(driver, Array<number>(20).fill(BUFFER));
    expect(cardBuffers(machine)).toEqual(places.map((place) => place + 12));
    machine.card.wire.inject(frame(1514, 1));
    machine.card.wire.inject(frame(60, 2));
    settle(machine);
    expect(used(driver, places)).toEqual([
      { header: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0], body: frame(1514, 1) },
      { header: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0], body: frame(60, 2) },
    ]);
  });

  it("has a header of ten bytes for a legacy driver, and touches nothing between it and the frame", () => {
    const driver = driveIt(NetFeature.Mac, "legacy");
    const [place] = offer(driver, [2000]);
    expect(cardBuffers(machine)).toEqual([place! + 10]);
    machine.card.wire.inject(frame(100, 1));
    settle(machine);
    expect(used(driver, [place!])).toEqual([{ header: Array<number>(10).fill(0), body: frame(100, 1) }]);
  });

  it.each([
    ["a byte too short", [BUFFER - 1]],
    ["empty", [0]],
    ["as long as the header", [12]],
  ])("lends the card no buffer that is %s, and none after it", (_, lengths) => {
    const driver = driveIt();
    const places = offer(driver, [BUFFER, ...lengths, BUFFER]);
    expect(cardBuffers(machine).some(guests)).toBe(false);
    machine.card.wire.inject(frame(1514, 1));
    settle(machine);
    const [first] = used(driver, places);
    expect(first).toEqual({ header: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0], body: frame(1514, 1) });
  });

  it("receives the longest frame, one with a VLAN tag, into the least buffer that Linux offers", () => {
    const driver = driveIt();
    const places = offer(driver, [BUFFER]);
    expect(cardBuffers(machine)).toEqual([places[0]! + 12]);
    const tagged = frame(1518, 4);
    tagged.set([0x81, 0x00], 12);
    machine.card.wire.inject(tagged);
    settle(machine);
    expect(used(driver, places).map(({ body }) => body)).toEqual([tagged]);
  });

  it("lends the card no buffer so near to Sheer's memory that it could write there", () => {
    const driver = driveIt();
    const { base } = machine.block;
    driver.receiveQueue.add([{ address: base - BUFFER, length: BUFFER, writable: true }]);
    driver.kick(RECEIVE);
    expect(cardBuffers(machine)).not.toContain(base - BUFFER + 12);
    machine.card.wire.inject(frame(1514, 1));
    settle(machine);
    const [{ body } = { body: undefined }] = used(driver, [base - BUFFER]);
    expect(body).toEqual(frame(1514, 1));
  });

  it("drops a frame that is longer than the guest's buffer, which the next one gets", () => {
    const driver = driveIt();
    const places = offer(driver, [100]);
    machine.card.wire.inject(frame(89, 1));
    machine.card.wire.inject(frame(88, 2));
    settle(machine);
    expect(used(driver, places).map(({ body }) => body)).toEqual([frame(88, 2)]);
  });

  it.each([
    ["reset", (driver: VirtioNetDriver) => driver.reset()],
    ["without bus mastering", (driver: VirtioNetDriver) => driver.pci.write(4, 2, Command.Io | Command.Memory)],
    ["given up", (driver: VirtioNetDriver) => driver.transport.setStatus(0x80)],
  ])("takes the guest's buffers back from the card when the device is %s", (_, stop) => {
    const driver = driveIt();
    const places = offer(driver, Array<number>(20).fill(BUFFER));
    expect(cardBuffers(machine).every(guests)).toBe(true);
    stop(driver);
    expect(cardBuffers(machine).some(guests)).toBe(false);
    const before = machine.memory.readBytes(places[0]!, BUFFER);
    machine.card.wire.inject(frame(1000, 7));
    settle(machine);
    expect(machine.memory.readBytes(places[0]!, BUFFER)).toEqual(before);
    driver.pci.write(4, 2, Command.Io | Command.Memory | Command.BusMaster);
  });

  it("takes them back when the queue alone is reset", () => {
    const driver = driveIt();
    offer(driver, Array<number>(20).fill(BUFFER));
    const transport = modernTransport(driver);
    transport.write(CapType.Common, Common.QueueSelect, 2, RECEIVE);
    transport.write(CapType.Common, Common.QueueReset, 2, 1);
    expect(cardBuffers(machine).some(guests)).toBe(false);
  });

  it("goes on with the same buffers after the guest has had bus mastering off", () => {
    const driver = driveIt();
    const places = offer(driver, Array<number>(20).fill(BUFFER));
    driver.pci.write(4, 2, Command.Io | Command.Memory);
    driver.pci.write(4, 2, Command.Io | Command.Memory | Command.BusMaster);
    for (let i = 0; i < 20; i++) {
      machine.card.wire.inject(frame(100, i));
      settle(machine, 1);
    }
    expect(used(driver, places).map(({ body }) => body)).toEqual(Array.from({ length: 20 }, (_, i) => frame(100, i)));
  });

  it("keeps its buffers while the guest moves the device's memory", () => {
    const driver = driveIt();
    const places = offer(driver, Array<number>(20).fill(BUFFER));
    const before = driver.pci.bar(1);
    driver.pci.write(0x14, 4, 0xd000_0000);
    machine.card.wire.inject(frame(100, 1));
    settle(machine);
    expect(used(driver, places).map(({ body }) => body)).toEqual([frame(100, 1)]);
    driver.pci.write(0x14, 4, before);
  });

  it("gives the card no buffer any more over which the device's memory was moved", () => {
    const driver = driveIt();
    const place = 0xd000_0000;
    driver.receiveQueue.add([{ address: place + 0x100, length: BUFFER, writable: true }]);
    driver.kick(RECEIVE);
    expect(cardBuffers(machine)).toEqual([place + 0x100 + 12]);
    const before = driver.pci.bar(1);
    driver.pci.write(0x14, 4, place);
    machine.card.wire.inject(frame(100, 1));
    settle(machine);
    expect(cardBuffers(machine)).not.toContain(place + 0x100 + 12);
    driver.pci.write(0x14, 4, before);
    expect(driver.transport.status() & 64).toBe(64);
  });

  it("breaks a queue that has the same chain in it twice", () => {
    const driver = driveIt();
    offer(driver, [BUFFER]);
    driver.receiveQueue.setAvailable(driver.receiveQueue.availableIndex++, 0);
    driver.receiveQueue.publish();
    driver.transport.notify(RECEIVE);
    expect(driver.transport.status() & 64).toBe(64);
  });

  it("uses the buffer of a frame that was damaged for another", () => {
    const driver = driveIt();
    const places = offer(driver, [BUFFER, BUFFER]);
    machine.card.faults.receiveLength = 0xffff;
    machine.card.wire.inject(frame(100, 1));
    settle(machine);
    machine.card.faults.receiveLength = undefined;
    machine.card.wire.inject(frame(100, 2));
    machine.card.wire.inject(frame(100, 3));
    settle(machine);
    expect(used(driver, places).map(({ body }) => body)).toEqual([frame(100, 2), frame(100, 3)]);
  });

  it("leaves frames to the card while the guest has no buffers, without interrupts, and goes on at the next notification", () => {
    const driver = drive(machine, model);
    driver.collect = () => [];
    driver.offerBuffers(2);
    expect([0, 1, 2, 3].map((i) => machine.nic.wire.inject(frame(100, i)))).toEqual([true, true, false, false]);
    settle(machine);
    expect(driver.receiveQueue.deviceIndex).toBe(2);
    const before = machine.nic.interruptCount;
    for (let i = 5; i < 8; i++) {
      machine.nic.wire.inject(frame(100, i));
      settle(machine);
    }
    expect(machine.nic.interruptCount).toBe(before);
    driver.offerBuffers(20);
    machine.nic.wire.inject(frame(100, 9));
    settle(machine);
    expect(VirtioNetDriver.prototype.collect.call(driver)).toEqual([0, 1, 9].map((i) => frame(100, i)));
  });

  it("does not need the guest to notify for each buffer", () => {
    const driver = driveIt();
    offer(driver, Array<number>(200).fill(BUFFER));
    let notified = 0;
    const { transport } = driver;
    const notify = transport.notify.bind(transport);
    transport.notify = (queue) => {
      notified++;
      notify(queue);
    };
    for (let i = 0; i < 100; i++) {
      machine.card.wire.inject(frame(100, i));
      settle(machine, 1);
      driver.receiveQueue.takeUsed();
      driver.receiveQueue.add([{ address: driver.allocate(BUFFER), length: BUFFER, writable: true }]);
      driver.kick(RECEIVE);
    }
    expect(notified).toBe(0);
    expect(driver.receiveQueue.deviceIndex).toBe(100);
  });
});
