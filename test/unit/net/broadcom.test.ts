// Broadcom's cards, what is particular to them. The model is strict: an access in the wrong order or at a wrong time throws.
import { describe, expect, it } from "vitest";
import type { Broadcom } from "../../../machine/bcm57766/card.ts";
import { type BroadcomModel, MODELS } from "../../../machine/bcm57766/models.ts";
import { HostControl, ReceiveError, Reg, Sram } from "../../../machine/bcm57766/registers.ts";
import { scanBus } from "../../../machine/driver/pci.ts";
import { NetFeature, type VirtioNetDriver } from "../../../machine/driver/virtio-net.ts";
import type { Machine } from "../../../machine/machine.ts";
import { Command, Config } from "../../../machine/pci/function.ts";
import { checksum, segment, tcpPacket } from "./packets.ts";
import { ALL_FEATURES, cardFunction, drive, frame, random, settle, start } from "./setup.ts";

const ALL = Object.keys(MODELS) as BroadcomModel[];
const MODEL = "BCM57766";
const MICROSECOND = 1000;
/** Longer than the card waits before it tells of a frame, shorter than its write to memory may be on its way. */
const TOLD = 25 * MICROSECOND;

function prepared(model: BroadcomModel, prepare: (card: Broadcom) => void = () => undefined): Machine {
  return start(model, {}, ({ broadcom }) => prepare(broadcom));
}

function exchange(machine: Machine, driver: VirtioNetDriver, seed = 0): void {
  machine.nic.wire.take();
  driver.takeFrames();
  driver.offerBuffers(4);
  machine.nic.wire.inject(frame(300, seed));
  driver.send(frame(200, seed));
  settle(machine);
  driver.transmitQueue.takeUsed();
  expect(driver.takeFrames()).toEqual([frame(300, seed)]);
  expect(machine.nic.wire.take()).toEqual([frame(200, seed)]);
}

describe.each(ALL)("a %s", (model) => {
  it("is started in the order of the guides, and serves", () => {
    const machine = prepared(model);
    expect(machine.broadcom.order.running).toBe(true);
    exchange(machine, drive(machine, model));
    expect(machine.broadcom.order.violations).toEqual([]);
  });

  it.each([4, 6] as const)("cuts TCP over IPv%i with options and a VLAN tag", (version) => {
    const machine = prepared(model);
    const driver = drive(machine, model, { features: ALL_FEATURES });
    const packet = tcpPacket({ version, payload: 9000, options: 12 });
    const tag = [0x81, 0x00, 0x20, 0x07];
    const tagged = Uint8Array.of(...packet.frame.subarray(0, 12), ...tag, ...packet.frame.subarray(12));
    const header = packet.header({ checksum: true, segmentSize: 1000 });
    new DataView(header.buffer).setUint16(6, 14 + 4 + (version === 4 ? 20 : 40), true);
    driver.send(tagged, { header, cuts: [20, 100] });
    settle(machine);
    const sent = machine.nic.wire.take();
    expect(sent.map((each) => [...each.subarray(12, 16)])).toEqual(Array.from({ length: 9 }, () => tag));
    const plain = sent.map((each) => Uint8Array.of(...each.subarray(0, 12), ...each.subarray(16)));
    expect(plain.every((each) => checksum(each).ip && checksum(each).tcp)).toBe(true);
    expect(segment(plain)).toEqual([...packet.payload]);
  });
});

describe("the start", () => {
  it.each([
    ["in the card's memory", true],
    ["in the MAC alone", false],
  ])("finds a MAC address %s", (_, mailbox) => {
    const mac = [0x40, 0x6c, 0x8f, 0x3e, 0x28, 0x88];
    const machine = start(MODEL, { cards: [{ model: MODEL, mac }] }, ({ broadcom: { boot } }) => {
      boot.mailboxMac = mailbox;
      if (!mailbox) boot.set(Sram.MacMailbox, 0);
    });
    expect(drive(machine, MODEL).mac()).toEqual(mac);
  });

  it.each([
    ["has slow boot code", (card: Broadcom) => (card.faults.bootTime = 20_000_000)],
    ["has nobody who grants the NVRAM", (card: Broadcom) => (card.faults.arbiterHeld = true)],
    ["has blocks that do not stop", (card: Broadcom) => (card.faults.neverStops = true)],
  ])("takes a card that %s, after a while", (_, prepare) => {
    const machine = prepared(MODEL, prepare);
    exchange(machine, drive(machine, MODEL));
  });

  it.each([
    ["is gone", (card: Broadcom) => (card.faults.allOnes = true)],
    ["has a management processor", (card: Broadcom) => card.boot.set(Sram.Config, 1 << 21)],
  ])("leaves a card that %s to the guest", (_, prepare) => {
    const machine = prepared(MODEL, prepare);
    expect(scanBus(machine.guest).map((pci) => pci.read(0, 4))).toContain(0x1686_14e4);
  });

  it("leaves a card without a MAC address to the guest", () => {
    const machine = start(MODEL, { cards: [{ model: MODEL, mac: [0, 0, 0, 0, 0, 0] }] });
    expect(scanBus(machine.guest).map((pci) => pci.read(0, 4))).toContain(0x1686_14e4);
  });

  it("has the PHY look for a link if the firmware had it off, without a reset of the PHY", () => {
    const machine = prepared(MODEL, ({ phy }) => phy.powerDown());
    exchange(machine, drive(machine, MODEL));
  });
});

describe("the link", () => {
  it.each([10, 100, 1000] as const)("works at %i Mb/s", (speed) => {
    const machine = prepared(MODEL);
    const driver = drive(machine, MODEL);
    machine.broadcom.connect(speed);
    settle(machine);
    exchange(machine, driver);
  });

  it("is told of by the interrupt of a change, and not by one for frames", () => {
    const machine = prepared(MODEL);
    const driver = drive(machine, MODEL);
    for (const up of [false, true]) {
      machine.nic.setCable(up);
      settle(machine);
      expect(driver.linkUp()).toBe(up);
    }
    const before = driver.interrupts.line;
    exchange(machine, driver);
    expect(driver.interrupts.line - before).toBeLessThanOrEqual(2);
  });
});

describe("receiving", () => {
  const machine = prepared(MODEL);
  const driver = drive(machine, MODEL);
  driver.offerBuffers(100);

  it("goes round all rings, many frames at once", () => {
    for (let round = 0; round < 10; round++) {
      const frames = Array.from({ length: 60 }, (_, i) => frame(60 + ((i * 37) % 1455), round + i));
      for (const each of frames) expect(machine.nic.wire.inject(each)).toBe(true);
      settle(machine);
      expect(driver.takeFrames()).toEqual(frames);
    }
  });

  it("sees a frame at the card's interrupt, though what the card wrote is still on its way", () => {
    machine.guest.cli();
    for (let i = 0; i < 5; i++) {
      machine.nic.wire.inject(frame(100, i));
      machine.clock.advance(TOLD);
      expect(machine.nic.pci.interruptAsserted).toBe(true);
      expect(driver.isr()).toBe(1);
      expect(driver.collect()).toEqual([frame(100, i)]);
      expect(machine.nic.pci.interruptAsserted).toBe(false);
      expect(driver.isr()).toBe(0);
    }
    driver.takeFrames();
    machine.guest.enableInterrupts();
  });

  it.each(Object.entries(ReceiveError).filter(([name]) => name !== "OddNibble"))("drops a frame with %s", (_, bit) => {
    machine.broadcom.faults.receiveErrors = bit;
    machine.nic.wire.inject(frame(100));
    machine.broadcom.faults.receiveErrors = 0;
    machine.nic.wire.inject(frame(101));
    settle(machine);
    expect(driver.takeFrames()).toEqual([frame(101)]);
  });

  it("takes a frame that had half a byte too much on the wire", () => {
    machine.broadcom.faults.receiveErrors = ReceiveError.OddNibble;
    machine.nic.wire.inject(frame(100));
    machine.broadcom.faults.receiveErrors = 0;
    settle(machine);
    expect(driver.takeFrames()).toEqual([frame(100)]);
  });

  it("drops what comes while all buffers are full, and nothing else", () => {
    const own = drive(machine, MODEL);
    own.collect = () => [];
    for (let i = 0; i < 300; i++) machine.nic.wire.inject(frame(100, i));
    settle(machine);
    delete (own as { collect?: unknown }).collect;
    own.offerBuffers(128);
    settle(machine);
    own.offerBuffers(128);
    settle(machine);
    expect(own.takeFrames().slice(0, 256)).toEqual(Array.from({ length: 256 }, (_, i) => frame(100, i)));
    exchange(machine, own);
  });
});

describe("sending", () => {
  it("has frames that are sent call the guest without one that is received", () => {
    const machine = prepared(MODEL);
    const driver = drive(machine, MODEL);
    driver.transmitQueue.wantInterrupts(true);
    driver.send(frame(100));
    settle(machine);
    expect(driver.interrupts.line).toBeGreaterThan(0);
    expect(driver.transmitQueue.deviceIndex).toBe(1);
  });

  it("goes round the ring without anything received", () => {
    const machine = prepared(MODEL);
    const driver = drive(machine, MODEL);
    for (let round = 0; round < 15; round++) {
      const frames = Array.from({ length: 40 }, (_, i) => frame(64 + i, round + i));
      for (const each of frames) driver.send(each);
      settle(machine, 1);
      expect(machine.nic.wire.take()).toEqual(frames);
      driver.transmitQueue.takeUsed();
    }
    expect(driver.transmitQueue.free).toBe(256);
  });

  it("waits with what the ring has no room for", () => {
    const machine = prepared(MODEL);
    const driver = drive(machine, MODEL, { features: ALL_FEATURES });
    machine.broadcom.transmitter.paused = true;
    const cuts = Array.from({ length: 50 }, () => 20);
    const frames = Array.from({ length: 40 }, (_, i) => frame(1200, i));
    for (const each of frames) driver.send(each, { cuts, indirect: true });
    settle(machine);
    expect(driver.transmitQueue.deviceIndex).toBe(0);
    machine.broadcom.transmitter.paused = false;
    machine.broadcom.transmitter.run();
    settle(machine, 12);
    expect(machine.nic.wire.take()).toEqual(frames);
    expect(driver.transmitQueue.deviceIndex).toBe(40);
  });

  it("copies pieces that are too short for the card, wherever they are", () => {
    const machine = prepared(MODEL);
    const driver = drive(machine, MODEL, { features: ALL_FEATURES });
    const next = random(7);
    for (let i = 0; i < 150; i++) {
      const cuts: number[] = [];
      const length = 60 + next(400);
      for (let left = length; left > 0 && cuts.length < 40;) {
        const cut = Math.min(left, 1 + next(next(3) ? 12 : 200));
        cuts.push(cut);
        left -= cut;
      }
      driver.send(frame(length, i), { cuts, indirect: true });
      settle(machine, 1);
      driver.transmitQueue.takeUsed();
      expect(machine.nic.wire.take()).toEqual([frame(length, i)]);
    }
  });

  it("fills short frames up with zeros", () => {
    const machine = prepared(MODEL);
    const driver = drive(machine, MODEL);
    driver.send(frame(14, 3));
    const [sent] = machine.nic.wire.take();
    expect(sent).toEqual(Uint8Array.from({ length: 60 }, (_, i) => frame(14, 3)[i] ?? 0));
  });

  it("sums up what the card would not", () => {
    const machine = prepared(MODEL);
    const driver = drive(machine, MODEL, { features: ALL_FEATURES });
    // A protocol that no card knows: the sum from byte 20 on goes to byte 30.
    const bytes = frame(301, 9);
    bytes.set([0x88, 0xb5], 12);
    bytes.set([0, 0], 30);
    const header = Uint8Array.of(1, 0, 0, 0, 0, 0, 20, 0, 10, 0);
    driver.send(bytes, { header, cuts: [33, 7] });
    settle(machine);
    const [sent] = machine.nic.wire.take();
    let sum = 0;
    for (let i = 20; i < sent!.length; i += 2) sum += (sent![i]! << 8) | (sent![i + 1] ?? 0);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
    expect(sum).toBe(0xffff);
    expect([...sent!.subarray(0, 30), ...sent!.subarray(32)]).toEqual([
      ...bytes.subarray(0, 30),
      ...bytes.subarray(32),
    ]);
  });

  it("gives a frame back that the wire never takes, when the guest's driver starts again", () => {
    const machine = prepared(MODEL);
    const driver = drive(machine, MODEL);
    machine.broadcom.transmitter.paused = true;
    for (let i = 0; i < 10; i++) driver.send(frame(100, i));
    driver.start();
    machine.broadcom.transmitter.paused = false;
    settle(machine);
    expect(machine.broadcom.order.running).toBe(true);
    exchange(machine, driver);
  });

  it("offers checksums and cutting", () => {
    const machine = prepared(MODEL);
    const driver = drive(machine, MODEL, { features: ALL_FEATURES });
    const offered = NetFeature.Checksum | NetFeature.HostTso4 | NetFeature.HostTso6;
    expect(driver.features & offered).toBe(offered);
  });
});

describe("the function", () => {
  it("has I/O registers where the guest puts them, and the card's registers follow a BAR of 64 bits", () => {
    const machine = prepared(MODEL);
    const pci = cardFunction(machine);
    expect([0, 1].map((index) => pci.barSize(index))).toEqual([32, 0x1_0000]);
    expect(pci.bar(0)).toBe(0);
    pci.write(Config.Command, 2, 0);
    pci.write(Config.Bar0, 4, 0x7100);
    pci.write(Config.Bar0 + 4, 4, 0xd000_0000);
    pci.write(Config.Bar0 + 8, 4, 0);
    pci.write(Config.Command, 2, Command.Io | Command.Memory | Command.BusMaster);
    expect(machine.nic.pci.readConfig(Config.Bar0, 4)).toBe(0xd000_0004);
    const driver = drive(machine, MODEL);
    expect(driver.ports).toBe(0x7100);
    exchange(machine, driver);
  });

  it("has INTx and no capabilities", () => {
    const pci = cardFunction(prepared(MODEL));
    expect(pci.read(Config.InterruptPin, 1)).toBe(1);
    for (const id of [1, 5, 0x10, 0x11]) expect(pci.capability(id)).toBeUndefined();
  });
});

describe("a card that", () => {
  const BROKEN: Readonly<Record<string, (card: Broadcom, next: (below: number) => number) => void>> = {
    "is pulled out": ({ faults }) => (faults.allOnes = true),
    "tells of frames that are not there": ({ faults }, next) => (faults.returnProducer = next(0x1_0000)),
    "tells of frames sent that were not": ({ faults }, next) => (faults.sendConsumer = next(0x1_0000)),
    "gives back buffers that it does not have": ({ faults }, next) =>
      (faults.receiveIndex = next(0x1_0000) * next(0x1_0000)),
    "writes wild lengths": ({ faults }, next) => (faults.receiveLength = next(0x1_0000)),
    "writes wild flags": ({ faults }, next) => (faults.receiveFlags = next(0x1_0000)),
    "tells nothing": ({ faults }) => (faults.silent = true),
    "does everything at once": ({ faults }, next) => {
      faults.returnProducer = next(2) ? next(0x1_0000) : undefined;
      faults.sendConsumer = next(2) ? next(600) : undefined;
      faults.receiveIndex = next(2) ? next(300) : undefined;
      faults.receiveLength = next(2) ? next(0x1_0000) : undefined;
      faults.receiveFlags = next(2) ? next(0x1_0000) : undefined;
    },
  };

  it.each(Object.entries(BROKEN))("%s harms nobody, and is of use again when it is well", (_, act) => {
    const machine = prepared(MODEL);
    const driver = drive(machine, MODEL);
    driver.offerBuffers(64);
    const { faults } = machine.broadcom;
    const well = { ...faults };
    const next = random(3);
    for (let i = 0; i < 80; i++) {
      act(machine.broadcom, next);
      machine.nic.wire.inject(frame(100 + i, i));
      if (driver.transmitQueue.free >= 2) driver.send(frame(100, i));
      settle(machine, 1);
      driver.transmitQueue.takeUsed();
    }
    for (const received of driver.takeFrames()) expect(received.length).toBeLessThanOrEqual(1536);
    Object.assign(faults, well);
    machine.nic.wire.inject(frame(60));
    settle(machine); // what is left of before is told of now
    driver.start();
    exchange(machine, driver, 1);
  });

  it("interrupts without end for nothing leaves the ISR status at zero", () => {
    const machine = prepared(MODEL);
    const driver = drive(machine, MODEL);
    machine.guest.cli();
    machine.broadcom.faults.storm = true;
    driver.isr();
    for (let i = 0; i < 50; i++) {
      machine.clock.advance(TOLD);
      expect(machine.nic.pci.interruptAsserted).toBe(true);
      expect(driver.isr()).toBe(0);
      expect(machine.nic.pci.interruptAsserted).toBe(false);
    }
  });

  it("is silenced after a trap of Sheer's stops, and masters the bus no more", () => {
    let traps = 0;
    const onImport = (name: string): void => {
      if (name === "physCopy" && traps-- > 0) throw new WebAssembly.RuntimeError("unreachable");
    };
    const machine = start(MODEL, { forbidTraps: false, onImport });
    const driver = drive(machine, MODEL);
    driver.offerBuffers(8);
    const { broadcom } = machine;
    traps = 1;
    driver.send(frame(20)); // too short: it is copied
    expect(broadcom.order.enabled("WriteDma") || broadcom.order.enabled("ReadDma")).toBe(false);
    expect(machine.nic.pci.get(Reg.MiscHostControl, 2) & HostControl.Mask).not.toBe(0);
    expect(machine.nic.pci.command & Command.BusMaster).toBe(0);
    expect(broadcom.order.violations).toEqual([]);
    expect(machine.nic.wire.inject(frame(100))).toBe(false);
  });
});
