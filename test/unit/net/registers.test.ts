// The device's registers at every offset and width (virtio 0.9.5, 2.2.1), and its life at the INTx line.
import { describe, expect, it } from "vitest";
import {
  DeviceStatus,
  NO_VECTOR,
  RECEIVE,
  TRANSMIT,
  Virtio,
  VirtioNetDriver,
} from "../../../machine/driver/virtio-net.ts";
import { Command, Config } from "../../../machine/pci/function.ts";
import { drive, frame, MODELS, settle, start, VECTORS } from "./setup.ts";

const WIDTHS = [1, 2, 4] as const;
const QUEUE_SIZE = 256;

describe("the registers", () => {
  const machine = start("82574L");
  it("read at their own offset, cut to a narrower access", () => {
    const driver = drive(machine, "82574L");
    const features = driver.register(Virtio.DeviceFeatures, 4);
    expect(driver.register(Virtio.DeviceFeatures, 2)).toBe(features & 0xffff);
    expect(driver.register(Virtio.DeviceFeatures, 1)).toBe(features & 0xff);
    expect(driver.register(Virtio.GuestFeatures, 4)).toBe(driver.features);
    expect(driver.register(Virtio.QueueAddress, 4)).toBe(driver.transmitQueue.base / 4096);
    expect(WIDTHS.map((width) => driver.register(Virtio.Status, width))).toEqual([7, 7, 7]);
    for (const offset of [1, 2, 3, 5, 7, 9, 11, 13, 15, 17]) {
      for (const width of WIDTHS) expect(driver.register(offset, width)).toBe(0);
    }
  });

  it("ignore writes of another width", () => {
    const driver = drive(machine, "82574L");
    const read = (): number[] =>
      [Virtio.GuestFeatures, Virtio.QueueAddress]
        .map((offset) => driver.register(offset, 4))
        .concat(
          [Virtio.QueueSelect, Virtio.ConfigVector, Virtio.QueueVector].map((offset) => driver.register(offset, 2)),
          driver.register(Virtio.Status, 1),
        );
    const before = read();
    for (const [offset, own] of [
      [Virtio.GuestFeatures, 4],
      [Virtio.QueueAddress, 4],
      [Virtio.QueueSelect, 2],
      [Virtio.QueueNotify, 2],
      [Virtio.Status, 1],
      [Virtio.ConfigVector, 2],
      [Virtio.QueueVector, 2],
    ] as const) {
      for (const width of WIDTHS) if (width !== own) driver.setRegister(offset, width, 0);
    }
    for (const offset of [Virtio.DeviceFeatures, Virtio.QueueSize, Virtio.Isr]) {
      for (const width of WIDTHS) driver.setRegister(offset, width, 0xffff_ffff);
    }
    expect(read()).toEqual(before);
  });

  it("know three queues and no more", () => {
    const driver = drive(machine, "82574L");
    for (const [queue, size] of [
      [RECEIVE, QUEUE_SIZE],
      [TRANSMIT, QUEUE_SIZE],
      [2, QUEUE_SIZE],
      [3, 0],
      [0xffff, 0],
    ] as const) {
      driver.setRegister(Virtio.QueueSelect, 2, queue);
      expect(driver.register(Virtio.QueueSize, 2)).toBe(size);
      if (size === 0) expect(driver.register(Virtio.QueueAddress, 4)).toBe(0);
    }
  });

  it("hold vectors that exist, and none otherwise", () => {
    const driver = drive(machine, "82574L");
    for (const register of [Virtio.ConfigVector, Virtio.QueueVector]) {
      for (const [written, read] of [
        [2, 2],
        [3, 3],
        [4, NO_VECTOR],
        [0, 0],
        [0x8000, NO_VECTOR],
        [NO_VECTOR, NO_VECTOR],
      ] as const) {
        driver.setRegister(register, 2, written);
        expect(driver.register(register, 2)).toBe(read);
      }
    }
    driver.setRegister(Virtio.QueueSelect, 2, 5);
    driver.setRegister(Virtio.QueueVector, 2, 1);
    expect(driver.register(Virtio.QueueVector, 2)).toBe(NO_VECTOR);
  });

  it("move the device's own fields when MSI-X is turned on", () => {
    machine.guest.cli();
    const driver = new VirtioNetDriver(machine.guest);
    driver.pci.write(driver.pci.capability(0x11)! + 2, 2, 0);
    driver.start();
    const { mac } = machine.nic;
    const bytes = (from: number): number[] => mac.map((_, i) => driver.register(from + i, 1));
    expect(bytes(20)).toEqual(mac);
    expect(driver.register(20, 4)).toBe((mac[0]! | (mac[1]! << 8) | (mac[2]! << 16) | (mac[3]! << 24)) >>> 0);
    drive(machine, "82574L");
    expect(bytes(24)).toEqual(mac);
    expect(driver.register(28, 2)).toBe(mac[4]! | (mac[5]! << 8));
  });

  it("forget everything at a reset but the MSI-X table", () => {
    const driver = drive(machine, "82574L");
    const entry = driver.tableEntry(1);
    driver.reset();
    expect(driver.register(Virtio.Status, 1)).toBe(0);
    expect(driver.register(Virtio.GuestFeatures, 4)).toBe(0);
    expect(driver.register(Virtio.ConfigVector, 2)).toBe(NO_VECTOR);
    expect(driver.guest.read32(entry + 8)).toBe(VECTORS.receive);
    for (const queue of [RECEIVE, TRANSMIT]) {
      driver.setRegister(Virtio.QueueSelect, 2, queue);
      expect(driver.register(Virtio.QueueAddress, 4)).toBe(0);
      expect(driver.register(Virtio.QueueVector, 2)).toBe(NO_VECTOR);
    }
  });

  it("do nothing before the driver says that it is ready", () => {
    const driver = drive(machine, "82574L");
    driver.setRegister(Virtio.Status, 1, DeviceStatus.Acknowledge | DeviceStatus.Driver);
    driver.offerBuffers(4);
    machine.nic.wire.inject(frame(100));
    settle(machine);
    expect(driver.receiveQueue.deviceIndex).toBe(0);
  });
});

describe.each(MODELS)("the ISR status on %s without MSI-X", (model) => {
  const machine = start(model);
  it("is nonzero only if this device has something, and a read clears it", () => {
    const driver = drive(machine, model, { vectors: undefined });
    machine.guest.cli();
    driver.offerBuffers(8);
    expect(driver.isr()).toBe(0);
    machine.nic.wire.inject(frame(100));
    machine.clock.advance(1_000_000);
    expect(driver.isr()).toBe(1);
    expect(driver.isr()).toBe(0);
    expect(machine.nic.pci.interruptAsserted).toBe(false);
    machine.nic.setCable(false);
    expect(driver.isr()).toBe(2);
    expect(driver.isr()).toBe(0);
    machine.nic.setCable(true);
  });

  it("polls the card: a guest that only reads it receives", () => {
    const driver = drive(machine, model, { vectors: undefined });
    machine.guest.cli();
    driver.pci.write(Config.Command, 2, Command.Io | Command.Memory | Command.BusMaster | 0x400);
    driver.offerBuffers(8);
    for (let i = 0; i < 20; i++) {
      machine.nic.wire.inject(frame(100, i));
      machine.clock.advance(100_000);
      expect(driver.isr()).toBe(1);
      expect(driver.collect()).toEqual([frame(100, i)]);
    }
  });

  it("ends each interrupt: the line falls, and nobody is called for nothing", () => {
    const driver = drive(machine, model, { vectors: undefined });
    driver.offerBuffers(32);
    const before = driver.interrupts.line;
    for (let i = 0; i < 50; i++) {
      machine.nic.wire.inject(frame(100, i));
      driver.send(frame(100, i));
      driver.transmitQueue.takeUsed();
      settle(machine, 2);
      expect(machine.nic.pci.interruptAsserted).toBe(false);
    }
    expect(driver.takeFrames()).toHaveLength(50);
    expect(driver.interrupts.line - before).toBeLessThanOrEqual(100);
  });
});
