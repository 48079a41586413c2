// A card that is out of order: the guest gets no frames, and nothing else breaks.
import { describe, expect, it } from "vitest";
import { scanBus } from "../../../machine/driver/pci.ts";
import type { Faults } from "../../../machine/e1000/faults.ts";
import type { Machine } from "../../../machine/machine.ts";
import { drive, frame, settle, start } from "./setup.ts";

const MODEL = "82574L";

const BROKEN: Readonly<Record<string, Partial<Faults>>> = {
  "falls off its bus": { allOnes: true },
  "writes back lengths that no buffer has": { receiveLength: 0xffff },
  "writes back lengths of 0": { receiveLength: 0 },
  "never ends a frame": { receiveStatusClear: 2 },
  "writes nothing back for what it receives": { dropReceiveWriteBack: true },
  "writes nothing back for what it sends": { dropTransmitWriteBack: true },
  "keeps its causes": { icrSticks: true },
};

function withoutAddress({ card }: Machine): void {
  card.faults.addressNotLoaded = true;
  card.reset();
}

describe("a card that", () => {
  it.each(Object.entries(BROKEN))("%s harms nobody", (_, faults) => {
    const machine = start(MODEL);
    const driver = drive(machine, MODEL);
    driver.offerBuffers(32);
    Object.assign(machine.card.faults, faults);
    for (let i = 0; i < 300; i++) {
      machine.card.wire.inject(frame(100 + i, i));
      if (driver.transmitQueue.free >= 2) driver.send(frame(100, i));
      settle(machine, 1);
    }
    for (const received of driver.frames) expect(received.length).toBeLessThanOrEqual(2048);
    expect(driver.isr()).toBeLessThan(4);
  });

  it("is reset by a driver that forgets what it still had to send", () => {
    const machine = start(MODEL);
    const driver = drive(machine, MODEL);
    machine.card.faults.dropTransmitWriteBack = true;
    for (let i = 0; i < 10; i++) driver.send(frame(100, i));
    driver.start();
    machine.card.faults.dropTransmitWriteBack = false;
    machine.card.wire.take();
    for (let i = 0; i < 600; i++) {
      driver.send(frame(100, i));
      driver.transmitQueue.takeUsed();
    }
    expect(machine.card.wire.take()).toHaveLength(600);
  });

  it("has its MAC address in the EEPROM only shows the guest that one", () => {
    const cards = [{ model: "82540EM", mac: [2, 0x15, 0x26, 0x37, 0x48, 0x59] }] as const;
    const machine = start("82540EM", { cards }, withoutAddress);
    expect(drive(machine, "82540EM").mac()).toEqual([2, 0x15, 0x26, 0x37, 0x48, 0x59]);
  });

  it("has its MAC address in an EEPROM that never answers is left to the guest", () => {
    const machine = start("82540EM", {}, (machine) => {
      withoutAddress(machine);
      machine.card.faults.eepromHangs = true;
    });
    expect(scanBus(machine.guest).map((pci) => pci.read(0, 4))).toContain(0x100e_8086);
  });

  it("does not answer at all is left to the guest", () => {
    const machine = start(MODEL, {}, ({ card }) => Object.assign(card.faults, { allOnes: true }));
    expect(scanBus(machine.guest).map((pci) => pci.read(0, 4))).toContain(0x10d3_8086);
  });

  it("does not answer gives way to the next one that does", () => {
    const cards = [{ model: MODEL }, { model: "82540EM" }] as const;
    const machine = start(MODEL, { cards }, ({ card }) => Object.assign(card.faults, { allOnes: true }));
    expect(scanBus(machine.guest).map((pci) => pci.read(0, 4))).toEqual([0x29c0_8086, 0x10d3_8086, 0x1000_1af4]);
  });

  it("never comes out of its reset does not hold up the machine", () => {
    const machine = start(MODEL, {}, ({ card }) => Object.assign(card.faults, { resetHangs: true }));
    expect(machine.guestRuns).toBe(true);
  });
});
