// INIT and start-up interrupts between the guest's processors (AMD64 Architecture Programmer's Manual volume 2, 14.1,
// 15.27.8 and 16.5; Intel SDM 3, 9.4.4 and 11.6.1). That none reaches a real local APIC, the simulated machine sees to.
import { describe, expect, test } from "vitest";
import { Apic, APIC_BASE } from "../../../machine/apic.ts";
import type { Machine } from "../../../machine/machine.ts";
import type { Choice } from "../../../machine/processors.ts";
import { type Boot, VENDORS } from "../vcpu/setup.ts";
import { CHOICES, Command, enterLongMode, ICR, nmis, place, send, settle } from "./setup.ts";

const { Init, startup } = Command;
const WAITS = "waits";
const RUNS = "38:";

function startBy(boot: Boot, processors: number, choose?: Choice): Machine {
  const machine = boot({ processors });
  if (choose) machine.processors.choose = choose;
  return machine;
}

/** Where each processor is; where those are that nothing was sent to does not matter. */
function places(machine: Machine): string[] {
  settle(machine);
  return machine.guests.map((guest) => place(guest).replace(/^38:.*/, RUNS));
}

describe.each(VENDORS)("%s", (_vendor, boot) => {
  const start = (processors: number, choose?: Choice): Machine => startBy(boot, processors, choose);

  describe.each(CHOICES)("a processor that takes Sheer's NMIs %s", (_name, choose) => {
    test("waits after INIT, and starts where SIPI says", () => {
      const machine = start(3, choose());
      send(machine.guest, Init, 1);
      expect(places(machine)).toEqual([RUNS, WAITS, RUNS]);
      send(machine.guest, startup(0x12), 1);
      expect(places(machine)).toEqual([RUNS, "1200:0", RUNS]);
    });

    test("starts by INIT, SIPI, SIPI without a pause between them, at the first", () => {
      const machine = start(2, choose());
      for (const command of [Init, startup(0x9f), startup(0x08)]) send(machine.guest, command, 1);
      expect(places(machine)).toEqual([RUNS, "9f00:0"]);
    });

    test("starts at vector 0", () => {
      const machine = start(2, choose());
      for (const command of [Init, startup(0)]) send(machine.guest, command, 1);
      expect(places(machine)).toEqual([RUNS, "0:0"]);
    });

    test("starts at the first of many SIPIs from many processors", () => {
      const machine = start(4, choose());
      send(machine.guest, Init, 3);
      for (let vector = 0x20; vector < 0x60; vector++) send(machine.guests[vector % 3]!, startup(vector), 3);
      expect(places(machine)).toEqual([RUNS, RUNS, RUNS, "2000:0"]);
    });

    test("ignores SIPI while it runs", () => {
      const machine = start(2, choose());
      send(machine.guest, startup(0x12), 1);
      expect(places(machine)).toEqual([RUNS, RUNS]);
      send(machine.guest, Init, 1);
      expect(places(machine)).toEqual([RUNS, WAITS]);
    });

    test("ignores SIPI after it was started", () => {
      const machine = start(2, choose());
      for (const command of [Init, startup(0x12)]) send(machine.guest, command, 1);
      expect(places(machine)).toEqual([RUNS, "1200:0"]);
      send(machine.guest, startup(0x13), 1);
      expect(places(machine)).toEqual([RUNS, "1200:0"]);
    });

    test("starts anew after INIT, SIPI, INIT, SIPI", () => {
      const machine = start(2, choose());
      for (const command of [Init, startup(0x12), Init, startup(0x13)]) send(machine.guest, command, 1);
      expect(places(machine)).toEqual([RUNS, "1300:0"]);
    });

    test("waits after INIT, SIPI, INIT", () => {
      const machine = start(2, choose());
      for (const command of [Init, startup(0x12), Init]) send(machine.guest, command, 1);
      expect(places(machine)).toEqual([RUNS, WAITS]);
    });

    test("takes INIT while it waits, and then SIPI", () => {
      const machine = start(2, choose());
      for (const command of [Init, Init]) send(machine.guest, command, 1);
      expect(places(machine)).toEqual([RUNS, WAITS]);
      for (const command of [Init, Init, startup(0x44)]) send(machine.guest, command, 1);
      expect(places(machine)).toEqual([RUNS, "4400:0"]);
    });

    test("ignores the end of INIT's level", () => {
      const machine = start(2, choose());
      send(machine.guest, Command.InitDeassert, 1);
      expect(places(machine)).toEqual([RUNS, RUNS]);
      for (const command of [Init, Command.InitDeassert, startup(0x12)]) send(machine.guest, command, 1);
      expect(places(machine)).toEqual([RUNS, "1200:0"]);
    });

    test("has no NMI left from before or after INIT", () => {
      const machine = start(2, choose());
      for (const command of [Command.Nmi, Init, Command.Nmi, startup(0x12)]) send(machine.guest, command, 1);
      const other = machine.guests[1]!;
      expect(places(machine)).toEqual([RUNS, "1200:0"]);
      const before = nmis(other);
      enterLongMode(machine, other);
      other.cpuid(0);
      expect(nmis(other)).toBe(before);
      expect(before).toBeLessThan(2);
      send(machine.guest, Command.Nmi, 1);
      settle(machine);
      expect(nmis(other)).toBe(before + 1);
    });

    test("runs on as it was told, once it is started", () => {
      const machine = start(2, choose());
      const other = machine.guests[1]!;
      for (let round = 0; round < 3; round++) {
        for (const command of [Init, startup(0x12), startup(0x12)]) send(machine.guest, command, 1);
        expect(places(machine)).toEqual([RUNS, "1200:0"]);
        enterLongMode(machine, other);
        expect(other.cpuid(1)[1] >>> 24).toBe(1);
        expect(other.read32(APIC_BASE + Apic.Id) >>> 24).toBe(1);
      }
    });

    test("sends INIT to itself", () => {
      const machine = start(2, choose());
      send(machine.guests[1]!, Init, 1);
      expect(places(machine)).toEqual([RUNS, WAITS]);
      send(machine.guest, startup(0x12), 1);
      expect(places(machine)).toEqual([RUNS, "1200:0"]);
    });
  });

  describe("the boot processor", () => {
    test("starts anew after INIT from another, and takes no SIPI", () => {
      const machine = start(2);
      send(machine.guests[1]!, Init, 0);
      expect(places(machine)).toEqual(["f000:fff0", RUNS]);
      send(machine.guests[1]!, startup(0x12), 0);
      expect(places(machine)).toEqual(["f000:fff0", RUNS]);
    });

    test("starts anew after INIT and SIPI that come together", () => {
      const machine = start(2, () => undefined);
      for (const command of [Init, startup(0x12)]) send(machine.guests[1]!, command, 0);
      expect(places(machine)).toEqual(["f000:fff0", RUNS]);
    });

    test.each([1, 2])("starts anew after INIT to itself, on a machine of %i", (count) => {
      const machine = start(count);
      send(machine.guest, Init, 0);
      expect(place(machine.guest)).toBe("f000:fff0");
      expect(machine.guest.processor.injection).toBeUndefined();
    });
  });

  describe("INIT reaches", () => {
    const FLAT = 0xffff_ffff;
    const CLUSTERS = 0x0fff_ffff;
    const RESTARTS = "f000:fff0";
    const names = [0x11, 0x12, 0x21, 0x24];
    /** Command, destination, destination format, and who takes it; processor 1 sends. */
    const cases: readonly [string, number, number, number, number[]][] = [
      ["one by its id", Init, 2, FLAT, [2]],
      ["nobody by an id that none has", Init, 9, FLAT, []],
      ["all by the id FFh", Init, 0xff, FLAT, [0, 1, 2, 3]],
      ["one by its flat logical id", Init | Command.Logical, 0x04, FLAT, [3]],
      ["several by a bit that they share", Init | Command.Logical, 0x20, FLAT, [2, 3]],
      ["all by the logical id FFh", Init | Command.Logical, 0xff, CLUSTERS, [0, 1, 2, 3]],
      ["one of a cluster", Init | Command.Logical, 0x24, CLUSTERS, [3]],
      ["all of a cluster", Init | Command.Logical, 0x2f, CLUSTERS, [2, 3]],
      ["nobody in a cluster that is none", Init | Command.Logical, 0x3f, CLUSTERS, []],
      ["all others by the shorthand, whatever the destination", Init | Command.AllButSelf, 1, FLAT, [0, 2, 3]],
      ["nobody by the shorthand for all, which it may not have", Init | Command.All, 2, FLAT, []],
      ["nobody by the shorthand for oneself, which it may not have", Init | Command.Self, 2, FLAT, []],
    ];

    test.each(cases)("%s", (_name, command, destination, format, expected) => {
      const machine = start(4);
      machine.guests.forEach((guest, number) => {
        guest.write32(APIC_BASE + Apic.Dfr, format);
        guest.write32(APIC_BASE + Apic.Ldr, names[number]! << 24);
      });
      send(machine.guests[1]!, command, destination);
      const wanted = [RESTARTS, WAITS, WAITS, WAITS].map((place, i) => (expected.includes(i) ? place : RUNS));
      expect(places(machine)).toEqual(wanted);
      if (expected.includes(1)) return;
      for (const target of expected) send(machine.guests[1]!, startup(0x12), target);
      const started = [RESTARTS, "", "1200:0", "1200:0"].map((place, i) => (expected.includes(i) ? place : RUNS));
      expect(places(machine)).toEqual(started);
    });
  });

  describe("the interrupt command register", () => {
    test("drops delivery mode 7, which there is none of", () => {
      const machine = start(2);
      const { sent } = machine.apic;
      const before = sent.length;
      send(machine.guest, 0x4700, 1);
      expect(sent.length).toBe(before);
      expect(places(machine)).toEqual([RUNS, RUNS]);
    });

    test.each([
      ["SMI", 2],
      ["remote read", 3],
    ])("passes %s on", (_name, delivery) => {
      const machine = start(2);
      send(machine.guest, 0x4000 | (delivery << 8), 1);
      expect(machine.apic.sent.at(-1)).toEqual({ vector: 0, delivery, shorthand: 0, destination: 1 });
      expect(places(machine)).toEqual([RUNS, RUNS]);
    });

    test.each([1, 2] as const)("sends nothing by %i bytes", (width) => {
      const machine = start(2);
      machine.guest.write32(APIC_BASE + Apic.IcrHigh, 0x0100_0000);
      for (let offset = 0; offset < 16; offset += width) machine.guest.write(ICR + offset, width, 0x4545_4545);
      expect(places(machine)).toEqual([RUNS, RUNS]);
    });

    test("takes the low half of 8 bytes, at its own address only", () => {
      const machine = start(2);
      machine.guest.write32(APIC_BASE + Apic.IcrHigh, 0x0100_0000);
      for (const offset of [-4, 4, 8]) machine.guest.write(ICR + offset, 8, 0x0000_4500_0000_4500n);
      expect(places(machine)).toEqual([RUNS, RUNS]);
      machine.guest.write(ICR, 8, 0x0100_0000_0000_4500n);
      expect(places(machine)).toEqual([RUNS, WAITS]);
    });
  });
});
