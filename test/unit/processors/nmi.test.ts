// NMIs that the guest's processors send each other, beside those by which Sheer stops them (AMD64 Architecture
// Programmer's Manual volume 2, 8.2.3, 15.21 and 16.5).
import { describe, expect, test } from "vitest";
import { Apic, APIC_BASE } from "../../../machine/apic.ts";
import { Gpr } from "../../../machine/guest/state.ts";
import type { Machine } from "../../../machine/machine.ts";
import { Config } from "../../../machine/pci/function.ts";
import { SYSTEM_CONTROL_PORT } from "../../../machine/system-control.ts";
import { VENDORS } from "../vcpu/setup.ts";
import { CHOICES, Command, nmis, send, settle } from "./setup.ts";

const { Nmi } = Command;

function counts(machine: Machine): number[] {
  settle(machine);
  return machine.guests.map(nmis);
}

describe.each(VENDORS)("%s", (_vendor, boot) => {
  describe.each(CHOICES)("a processor that takes Sheer's NMIs %s", (_name, choose) => {
    function start(processors: number): Machine {
      const machine = boot({ processors });
      machine.processors.choose = choose();
      return machine;
    }

    test("gives the guest each NMI once", () => {
      const machine = start(3);
      send(machine.guest, Nmi, 2);
      expect(counts(machine)).toEqual([0, 0, 1]);
      send(machine.guests[2]!, Nmi, 0);
      expect(counts(machine)).toEqual([1, 0, 1]);
      send(machine.guests[1]!, Nmi | Command.AllButSelf);
      expect(counts(machine)).toEqual([2, 0, 2]);
      send(machine.guests[1]!, Nmi, 0xff);
      expect(counts(machine)).toEqual([3, 1, 3]);
      send(machine.guests[1]!, Nmi | Command.Logical, 0);
      expect(counts(machine)).toEqual([3, 1, 3]);
    });

    test("gives it one to itself", () => {
      const machine = start(2);
      send(machine.guests[1]!, Nmi, 1);
      expect(counts(machine)).toEqual([0, 1]);
      send(machine.guest, Nmi, 0);
      expect(counts(machine)).toEqual([1, 1]);
    });

    test("gives it one whatever IF is", () => {
      const machine = start(2);
      machine.guests[1]!.cli();
      send(machine.guest, Nmi, 1);
      expect(counts(machine)).toEqual([0, 1]);
    });

    test("keeps one back while the guest handles the last, until after its IRET", () => {
      const machine = start(2);
      const other = machine.guests[1]!;
      let depth = 0;
      let deepest = 0;
      other.processor.handlers.set(2, () => {
        deepest = Math.max(deepest, ++depth);
        if (nmis(other) < 4) send(machine.guest, Nmi, 1);
        other.cpuid(0);
        other.cpuid(0);
        depth--;
      });
      other.enableInterrupts();
      send(machine.guest, Nmi, 1);
      expect(counts(machine)).toEqual([0, 4]);
      expect(deepest).toBe(1);
    });

    test("keeps one back that the handler sends to its own processor", () => {
      const machine = start(2);
      const other = machine.guests[1]!;
      other.processor.handlers.set(2, () => {
        if (nmis(other) < 2) send(other, Nmi, 1);
        other.cpuid(0);
        expect(nmis(other)).toBeLessThan(3);
      });
      other.enableInterrupts();
      send(machine.guest, Nmi, 1);
      expect(counts(machine)).toEqual([0, 2]);
    });

    test("makes one of several that come while the guest handles one", () => {
      const machine = start(3);
      const other = machine.guests[2]!;
      other.processor.handlers.set(2, () => {
        if (nmis(other) > 1) return;
        for (let i = 0; i < 5; i++) for (const sender of [0, 1]) send(machine.guests[sender]!, Nmi, 2);
      });
      other.enableInterrupts();
      send(machine.guest, Nmi, 2);
      expect(counts(machine)).toEqual([0, 0, 2]);
    });

    test("gives it one with interrupts off by the next exit after the handler, at the latest", () => {
      const machine = start(2);
      const other = machine.guests[1]!;
      other.processor.handlers.set(2, () => {
        if (nmis(other) < 2) send(machine.guest, Nmi, 1);
      });
      other.cli();
      send(machine.guest, Nmi, 1);
      settle(machine);
      other.cpuid(0);
      expect(counts(machine)).toEqual([0, 2]);
    });
  });

  test("an NMI waits for an exception that comes before it", () => {
    const machine = boot({ processors: 2 });
    machine.processors.choose = () => undefined;
    const { processor } = machine.guests[1]!;
    processor.handlers.set(6, () => undefined);
    processor.interruptsEnabled = true;
    send(machine.guest, Nmi, 1);
    processor.setGpr(Gpr.Rax, 0n);
    processor.intercept({ kind: "hypercall" }, processor.rip + 3n); // #UD
    expect(counts(machine)).toEqual([0, 1]);
    expect(processor.received.map(({ vector }) => vector)).toEqual([6, 2]);
  });

  test("an NMI waits for the end of a shadow", () => {
    const machine = boot({ processors: 2 });
    machine.processors.choose = () => undefined;
    const other = machine.guests[1]!;
    send(machine.guest, Nmi, 1);
    other.sti();
    other.processor.exitForNmi();
    expect(other.processor.injection).toBeUndefined();
    other.in(0x80, 1);
    expect(counts(machine)).toEqual([0, 1]);
  });

  test("an NMI waits for the end of MOV SS's shadow, whatever IF is", () => {
    const machine = boot({ processors: 2 });
    machine.processors.choose = () => undefined;
    const other = machine.guests[1]!;
    send(machine.guest, Nmi, 1);
    other.cli();
    other.movSs();
    other.processor.exitForNmi();
    expect(other.processor.injection).toBeUndefined();
    other.in(0x80, 1);
    other.enableInterrupts(); // AMD's processors tell only then
    expect(counts(machine)).toEqual([0, 1]);
  });

  test("a device's NMI is the guest's too", () => {
    const machine = boot({ processors: 2 });
    machine.nmi();
    expect(counts(machine)).toEqual([1, 0]);
    machine.processor(1).apic.nmi = true;
    expect(counts(machine)).toEqual([1, 1]);
  });

  test.each([true, false])("an NMI of Sheer's own is a device's too if one met it, as the chipset tells: %s", (met) => {
    const machine = boot({ processors: 2, cards: [{ model: "82574L" }] });
    machine.systemControl.systemError = met; // its NMI is the one that is already on its way
    let seen = 0;
    machine.guest.processor.handlers.set(2, () => {
      if (machine.guest.in(SYSTEM_CONTROL_PORT, 1) & 0x80) seen++;
      machine.guest.out(SYSTEM_CONTROL_PORT, 1, 0x04);
    });
    // Of a BAR that one processor moves, Sheer tells the others.
    const other = machine.guests[1]!;
    for (const [register, value] of [
      [Config.Command, 2],
      [Config.Bar0 + 4, 0xd000_0000],
    ] as const) {
      other.out(0xcf8, 4, 0x8000_1000 + register);
      other.out(0xcfc, 4, value);
    }
    expect(counts(machine)).toEqual([met ? 1 : 0, 0]);
    expect(machine.guest.exits("nmi")).toBeGreaterThan(0);
    expect(seen).toBe(met ? 1 : 0);
  });

  test("an NMI that is for no processor of the guest's is none", () => {
    const machine = boot({ processors: 2 });
    send(machine.guest, Nmi, 7);
    expect(counts(machine)).toEqual([0, 0]);
  });

  test("Sheer's own NMIs are not the guest's", () => {
    const machine = boot({ processors: 2 });
    for (const command of [Command.Init, Command.startup(3)]) send(machine.guest, command, 1);
    expect(counts(machine)).toEqual([0, 0]);
    expect(machine.guests[1]!.exits("nmi")).toBe(1);
  });

  describe("other interprocessor interrupts", () => {
    const cases: readonly [string, number, number, number[][]][] = [
      ["fixed, to one", 0x4041, 1, [[], [0x41], []]],
      ["fixed, to itself", 0x4_4042, 1, [[0x42], [], []]],
      ["fixed, to all", 0x8_4043, 0, [[0x43], [0x43], [0x43]]],
      ["fixed, to all others", 0xc_4044, 0, [[], [0x44], [0x44]]],
      ["fixed, to a logical id", 0x4845, 4, [[], [], [0x45]]],
      ["lowest priority", 0x4146, 0xff, [[], [], [0x46]]],
    ];

    test.each(cases)("pass untouched: %s", (_name, command, destination, expected) => {
      const machine = boot({ processors: 3 });
      machine.guests.forEach((guest, number) => {
        guest.write32(APIC_BASE + Apic.Ldr, 1 << (24 + number));
        guest.write32(APIC_BASE + Apic.Tpr, 0x30 - 0x10 * (number >> 1));
      });
      const before = machine.apic.sent.length;
      send(machine.guest, command, destination);
      expect(machine.apic.sent.length).toBe(before + 1);
      for (const guest of machine.guests) guest.enableInterrupts();
      expect(machine.guests.map((guest) => guest.takeInterrupts())).toEqual(expected);
      expect(machine.guests.map((guest) => guest.exits("interrupt") + guest.exits("nmi"))).toEqual([0, 0, 0]);
    });
  });
});
