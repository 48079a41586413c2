// The newer interface of the device (Virtual I/O Device 1.2, 4.1): where its registers are, and what they do.
import { describe, expect, it } from "vitest";
import { CapType, Common, DeviceStatus, NetFeature, NO_VECTOR, VERSION_1 } from "../../../machine/driver/layout.ts";
import { structures } from "../../../machine/driver/transport.ts";
import { RECEIVE, TRANSMIT, type VirtioNetDriver } from "../../../machine/driver/virtio-net.ts";
import { Command } from "../../../machine/pci/function.ts";
import {
  ALL_FEATURES,
  cardFunction,
  drive,
  frame,
  hasMessages,
  INTEL_MODELS,
  MODELS,
  modernTransport,
  settle,
  start,
} from "./setup.ts";

const MODEL = "82574L";
const IO_BAR = 0;
const MEMORY_BAR = 1;
const RING_RESET = 1 << 8;

function common(driver: VirtioNetDriver, offset: number, width: 1 | 2 | 4): number {
  return modernTransport(driver).read(CapType.Common, offset, width);
}
function setCommon(driver: VirtioNetDriver, offset: number, width: 1 | 2 | 4, value: number): void {
  modernTransport(driver).write(CapType.Common, offset, width, value);
}

describe.each(MODELS)("the capabilities on %s", (model) => {
  const pci = cardFunction(start(model));
  const found = structures(pci);

  it("are one of each kind at least, each within its BAR, aligned, and of the size that it must have", () => {
    for (const [type, least, alignment] of [
      [CapType.Common, 56, 4],
      [CapType.Notify, 2, 2],
      [CapType.Isr, 1, 1],
      [CapType.Device, 8, 4],
    ] as const) {
      const ofType = found.filter((each) => each.type === type);
      expect(ofType.length).toBeGreaterThan(0);
      for (const { bar, offset, length } of ofType) {
        expect(length).toBeGreaterThanOrEqual(least);
        expect(offset % alignment).toBe(0);
        expect(offset + length).toBeLessThanOrEqual(pci.barSize(bar));
      }
    }
    expect(found.filter(({ type }) => type === CapType.Access)).toHaveLength(1);
  });

  it("say how long they are, and do not overlap", () => {
    const places = found.map(({ at }) => [at, at + pci.read(at + 2, 1)] as const).sort(([a], [b]) => a - b);
    for (const [i, [from, to]] of places.entries()) {
      expect(from % 4).toBe(0);
      expect(to - from).toBeGreaterThanOrEqual(16);
      expect(to).toBeLessThanOrEqual(places[i + 1]?.[0] ?? 0x100);
    }
  });

  it("name a port for notifications first where the card has ports, and memory for drivers without", () => {
    const first = INTEL_MODELS.includes(model) ? IO_BAR : MEMORY_BAR;
    for (const type of [CapType.Notify, CapType.Isr]) {
      expect(found.filter((each) => each.type === type).map(({ bar }) => bar)).toEqual([first, MEMORY_BAR]);
    }
  });

  it("belong to a transitional device of revision 0", () => {
    expect([pci.read(0, 4), pci.read(8, 1), pci.read(0x2e, 2)]).toEqual([0x1000_1af4, 0, 1]);
  });
});

describe.each(MODELS.flatMap((model) => [[model, "modern"] as const, [model, "memory"] as const]))(
  "%s by the interface %s",
  (model, kind) => {
    const machine = start(model);
    const driveIt = (features = ALL_FEATURES): VirtioNetDriver => drive(machine, model, { features, interface: kind });

    it("shows MAC address, link and MTU", () => {
      const driver = driveIt();
      expect(driver.mac()).toEqual(machine.nic.mac);
      expect(driver.linkUp()).toBe(true);
      expect(driver.transport.field(10, 2)).toBe(1500);
    });

    it.each([
      ["all features", ALL_FEATURES],
      ["none", 0],
    ])("carries frames both ways with %s", (_, features) => {
      machine.nic.wire.take();
      const driver = driveIt(features);
      driver.offerBuffers(64);
      for (let i = 0; i < 300; i++) {
        const length = 60 + ((i * 37) % 1455);
        machine.nic.wire.inject(frame(length, i));
        driver.send(frame(length, i + 1));
        settle(machine, 1);
        driver.transmitQueue.takeUsed();
        expect(driver.takeFrames()).toEqual([frame(length, i)]);
        expect(machine.nic.wire.take()).toEqual([frame(length, i + 1)]);
      }
      expect(new Set(driver.headers.map((header) => header.join()))).toEqual(new Set(["0,0,0,0,0,0,0,0,0,0,1,0"]));
    });

    it("tells of changes of the link, once each, and of another generation of its fields", () => {
      const driver = driveIt();
      const generation = common(driver, Common.ConfigGeneration, 1);
      expect(common(driver, Common.ConfigGeneration, 1)).toBe(generation);
      const before = driver.interrupts.config;
      machine.nic.setCable(false);
      settle(machine);
      expect(driver.linkUp()).toBe(false);
      expect(common(driver, Common.ConfigGeneration, 1)).not.toBe(generation);
      machine.nic.setCable(true);
      settle(machine);
      expect(driver.linkUp()).toBe(true);
      if (hasMessages(model)) expect(driver.interrupts.config - before).toBe(2);
    });

    it("goes over to the legacy interface and back by a reset", () => {
      for (const other of ["legacy", kind, "legacy"] as const) {
        const driver = drive(machine, model, { interface: other, features: ALL_FEATURES });
        driver.offerBuffers(4);
        machine.nic.wire.take();
        machine.nic.wire.inject(frame(99, 1));
        driver.send(frame(98, 2));
        settle(machine);
        expect(driver.takeFrames()).toEqual([frame(99, 1)]);
        expect(machine.nic.wire.take()).toEqual([frame(98, 2)]);
      }
    });
  },
);

describe("the common configuration", () => {
  const machine = start(MODEL);
  const driveIt = (features = ALL_FEATURES): VirtioNetDriver =>
    drive(machine, MODEL, { features, interface: "modern" });

  it("has features in two halves, and none beyond", () => {
    const driver = driveIt();
    const transport = modernTransport(driver);
    expect(transport.features(1)).toBe(VERSION_1 | RING_RESET);
    // All that the driver knows and no more: with merged buffers, Linux would allocate a head for each frame.
    expect(transport.features(0)).toBe(ALL_FEATURES);
    setCommon(driver, Common.DeviceFeatureSelect, 4, 2);
    expect(common(driver, Common.DeviceFeature, 4)).toBe(0);
    setCommon(driver, Common.DriverFeatureSelect, 4, 0);
    expect(common(driver, Common.DriverFeature, 4)).toBe(driver.features);
  });

  it.each([
    ["without VERSION_1", NetFeature.Mac, 0],
    ["of cutting without checksums", NetFeature.HostTso4, VERSION_1],
    ["of filters without a control queue", NetFeature.ControlReceive, VERSION_1],
  ])("does not go along with features %s", (_, low, high) => {
    const driver = driveIt();
    const transport = modernTransport(driver);
    driver.reset();
    transport.setStatus(DeviceStatus.Acknowledge | DeviceStatus.Driver);
    transport.accept(0, low);
    transport.accept(1, high);
    transport.setStatus(DeviceStatus.Acknowledge | DeviceStatus.Driver | DeviceStatus.FeaturesOk);
    expect(transport.status()).toBe(DeviceStatus.Acknowledge | DeviceStatus.Driver);
  });

  it("keeps what was agreed on until a reset", () => {
    const driver = driveIt(NetFeature.Mac);
    modernTransport(driver).accept(0, ALL_FEATURES);
    expect(common(driver, Common.DriverFeature, 4)).toBe(NetFeature.Mac);
  });

  it("knows three queues, whose size a driver may make smaller by powers of two", () => {
    const driver = driveIt();
    driver.reset();
    expect(common(driver, Common.Queues, 2)).toBe(3);
    for (const [queue, size] of [
      [0, 256],
      [2, 256],
      [3, 0],
      [0xffff, 0],
    ] as const) {
      setCommon(driver, Common.QueueSelect, 2, queue);
      expect(common(driver, Common.QueueSize, 2)).toBe(size);
    }
    setCommon(driver, Common.QueueSelect, 2, TRANSMIT);
    for (const [written, read] of [
      [64, 64],
      [0, 64],
      [65, 64],
      [512, 64],
      [1, 1],
    ] as const) {
      setCommon(driver, Common.QueueSize, 2, written);
      expect(common(driver, Common.QueueSize, 2)).toBe(read);
    }
  });

  it("holds places of 64 bits until the queue is enabled, and forgets them at a reset", () => {
    const driver = driveIt();
    driver.reset();
    setCommon(driver, Common.QueueSelect, 2, RECEIVE);
    const places = [0x20, 0x24, 0x28, 0x2c, 0x30, 0x34];
    for (const offset of places) setCommon(driver, offset, 4, 0x1234_0000 + offset);
    expect(places.map((offset) => common(driver, offset, 4) - 0x1234_0000)).toEqual(places);
    driver.start();
    for (const offset of places) setCommon(driver, offset, 4, 0x7777);
    setCommon(driver, Common.QueueSelect, 2, RECEIVE);
    expect(common(driver, Common.QueueEnable, 2)).toBe(1);
    expect(common(driver, 0x20, 4)).toBe(driver.receiveQueue.base);
    driver.reset();
    setCommon(driver, Common.QueueSelect, 2, RECEIVE);
    expect(common(driver, Common.QueueEnable, 2)).toBe(0);
    expect(places.map((offset) => common(driver, offset, 4))).toEqual(places.map(() => 0));
  });

  it("hands back a vector that does not exist as none", () => {
    const driver = driveIt();
    setCommon(driver, Common.QueueSelect, 2, TRANSMIT);
    for (const register of [Common.ConfigVector, Common.QueueVector]) {
      setCommon(driver, register, 2, 7);
      expect(common(driver, register, 2)).toBe(NO_VECTOR);
      setCommon(driver, register, 2, 3);
      expect(common(driver, register, 2)).toBe(3);
    }
  });

  it("resets one queue and starts it again", () => {
    const driver = driveIt();
    driver.offerBuffers(8);
    setCommon(driver, Common.QueueSelect, 2, RECEIVE);
    setCommon(driver, Common.QueueReset, 2, 1);
    expect(common(driver, Common.QueueReset, 2)).toBe(0);
    expect(common(driver, Common.QueueEnable, 2)).toBe(0);
    machine.nic.wire.take();
    driver.send(frame(100, 3));
    expect(machine.nic.wire.take()).toEqual([frame(100, 3)]);
    const { receiveQueue } = driver;
    driver.guest.processor.memory.fill(receiveQueue.base, receiveQueue.bytes, 0);
    receiveQueue.availableIndex = receiveQueue.usedIndex = 0;
    driver.transport.place(RECEIVE, receiveQueue);
    driver.offerBuffers(8);
    machine.nic.wire.inject(frame(100, 4));
    settle(machine);
    expect(driver.takeFrames()).toEqual([frame(100, 4)]);
  });

  it("asks for a reset when the driver breaks the rules of a queue", () => {
    const driver = driveIt();
    const before = driver.interrupts.config;
    driver.transmitQueue.setAvailable(driver.transmitQueue.availableIndex++, 0xffff);
    driver.transmitQueue.publish();
    driver.transport.notify(TRANSMIT);
    settle(machine);
    expect(driver.transport.status() & DeviceStatus.NeedsReset).toBe(DeviceStatus.NeedsReset);
    expect(driver.interrupts.config - before).toBe(1);
    driver.start();
    expect(driver.transport.status()).toBe(15);
  });

  it("stops when the driver gives up", () => {
    const driver = driveIt();
    driver.offerBuffers(8);
    driver.transport.setStatus(driver.transport.status() | DeviceStatus.Failed);
    machine.nic.wire.take();
    machine.nic.wire.inject(frame(100));
    driver.send(frame(100));
    settle(machine);
    expect([driver.receiveQueue.deviceIndex, machine.nic.wire.take().length]).toEqual([0, 0]);
  });
});

describe("the access through configuration space", () => {
  const machine = start(MODEL);

  it("reaches every structure, at every width that it may have", () => {
    const driver = drive(machine, MODEL, { interface: "modern" });
    const { pci } = driver;
    const all = structures(pci);
    const access = all.find(({ type }) => type === CapType.Access)!.at;
    const point = (bar: number, offset: number, length: number): void => {
      pci.write(access + 4, 1, bar);
      pci.write(access + 8, 4, offset);
      pci.write(access + 12, 4, length);
    };
    const device = all.find(({ type }) => type === CapType.Device)!;
    for (const [i, byte] of machine.nic.mac.entries()) {
      point(device.bar, device.offset + i, 1);
      expect(pci.read(access + 16, 1)).toBe(byte);
    }
    const shared = all.find(({ type }) => type === CapType.Common)!;
    point(shared.bar, shared.offset + Common.QueueSelect, 2);
    pci.write(access + 16, 2, 1);
    expect(pci.read(access + 16, 2)).toBe(1);
    expect(common(driver, Common.QueueSelect, 2)).toBe(1);
    machine.nic.wire.take();
    driver.queue(frame(100));
    driver.transmitQueue.publish();
    const notify = all.find(({ type }) => type === CapType.Notify)!;
    point(notify.bar, notify.offset, 2);
    pci.write(access + 16, 2, TRANSMIT);
    expect(machine.nic.wire.take()).toEqual([frame(100)]);
  });

  it("reads nothing where nothing may be read", () => {
    const { pci } = drive(machine, MODEL, { interface: "modern" });
    const access = structures(pci).find(({ type }) => type === CapType.Access)!.at;
    for (const [bar, offset, length] of [
      [MEMORY_BAR, 0x1001, 4],
      [MEMORY_BAR, 0x1000, 3],
      [MEMORY_BAR, 0x1000, 0xffff_ffff],
      [MEMORY_BAR, 0xffff_fffc, 4],
      [IO_BAR, 0x2000, 4],
      [5, 0, 4],
      [0xff, 0, 4],
    ] as const) {
      pci.write(access + 4, 1, bar);
      pci.write(access + 8, 4, offset);
      pci.write(access + 12, 4, length);
      pci.write(access + 16, 4, 0xffff_ffff);
      expect(pci.read(access + 16, 4)).toBe(0);
    }
  });

  it("works while the guest has decoding off", () => {
    const { pci } = drive(machine, MODEL, { interface: "modern" });
    const all = structures(pci);
    const access = all.find(({ type }) => type === CapType.Access)!.at;
    const device = all.find(({ type }) => type === CapType.Device)!;
    pci.write(4, 2, Command.BusMaster);
    pci.write(access + 4, 1, device.bar);
    pci.write(access + 8, 4, device.offset);
    pci.write(access + 12, 4, 1);
    expect(pci.read(access + 16, 1)).toBe(machine.nic.mac[0]);
  });
});
