// The APIC base, by which the guest disables a local APIC and changes its mode (AMD64 Architecture Programmer's Manual
// volume 2, 16.3.1 and 16.9; Intel SDM 3, 10.12.5).
import { describe, expect, test } from "vitest";
import { Apic, APIC_BASE } from "../../../machine/apic.ts";
import type { Machine } from "../../../machine/machine.ts";
import { Msr } from "../../../machine/msrs.ts";
import { Command, ICR, place, send, settle } from "../processors/setup.ts";
import { EXCEPTION, VENDORS } from "./setup.ts";

const BOOT = 0xfee0_0100n;
const DISABLED = BOOT;
const XAPIC = BOOT | 0x800n;
const X2APIC = BOOT | 0xc00n;
/** EXTD without EN. */
const ILLEGAL = BOOT | 0x400n;
const CPUID_APIC = 1 << 9;
const X2APIC_ID = 0x802;
const X2APIC_ICR = 0x830;
const ALL_ONES = 0xffff_ffff;

/** Takes the boot processor through these values. */
function through(machine: Machine, values: readonly bigint[]): void {
  for (const value of values) machine.guest.wrmsr(Msr.ApicBase, value);
}

function expectRefused({ guest }: Machine, value: bigint): void {
  const before = guest.rdmsr(Msr.ApicBase);
  const { generalProtection } = EXCEPTION;
  expect(guest.fault(() => guest.wrmsr(Msr.ApicBase, value))).toMatchObject({ vector: generalProtection, error: 0 });
  expect(guest.rdmsr(Msr.ApicBase)).toBe(before);
}

describe.each(VENDORS)("%s", (_vendor, boot) => {
  function x2apicMachine(processors = 1): Machine {
    return boot({ cpu: { x2apic: true }, processors });
  }

  describe("the APIC base", () => {
    test("is read as it is, without an exit", () => {
      const { guest } = boot();
      expect(guest.rdmsr(Msr.ApicBase)).toBe(XAPIC);
      expect(guest.exits("msr")).toBe(0);
    });

    test("cannot be moved, which the log says once", () => {
      const machine = boot();
      for (let i = 0; i < 3; i++) machine.guest.wrmsr(Msr.ApicBase, 0xfed0_0900n);
      expect(machine.guest.rdmsr(Msr.ApicBase)).toBe(XAPIC);
      expect(machine.log().match(/new APIC base/g)).toHaveLength(1);
    });

    test("may be written as it is", () => {
      const machine = boot();
      machine.guest.wrmsr(Msr.ApicBase, XAPIC);
      expect(machine.log()).not.toContain("APIC base");
    });

    test.each([0, 7, 9, 10, 40, 63])("refuses reserved bit %i", (bit) => {
      expectRefused(boot(), XAPIC | (1n << BigInt(bit)));
    });

    const steps: readonly [string, bigint[], bigint, boolean][] = [
      ["from xAPIC to disabled", [], DISABLED, true],
      ["from xAPIC to x2APIC", [], X2APIC, true],
      ["from x2APIC to disabled", [X2APIC], DISABLED, true],
      ["from x2APIC to xAPIC", [X2APIC], XAPIC, false],
      ["from disabled to xAPIC", [DISABLED], XAPIC, true],
      ["from disabled to x2APIC", [DISABLED], X2APIC, false],
      ["from disabled after x2APIC to xAPIC", [X2APIC, DISABLED], XAPIC, true],
      ["from disabled after x2APIC to x2APIC", [X2APIC, DISABLED], X2APIC, false],
      ["from xAPIC to x2APIC without being enabled", [], ILLEGAL, false],
      ["from x2APIC to x2APIC without being enabled", [X2APIC], ILLEGAL, false],
    ];
    test.each(steps)("%s", (_name, before, value, allowed) => {
      const machine = x2apicMachine();
      through(machine, before);
      if (!allowed) return expectRefused(machine, value);
      machine.guest.wrmsr(Msr.ApicBase, value);
      expect(machine.guest.rdmsr(Msr.ApicBase)).toBe(value);
      expect(machine.log()).not.toContain("APIC base");
    });
  });

  describe.each([
    ["xAPIC", [DISABLED]],
    ["x2APIC", [X2APIC, DISABLED]],
  ])("a local APIC disabled in %s mode", (_name, values) => {
    test("is not there for the guest: not in CPUID, not in its page", () => {
      const machine = x2apicMachine();
      const { guest, apic } = machine;
      through(machine, values);
      expect(guest.cpuid(1)[3] & CPUID_APIC).toBe(0);
      expect(guest.read32(APIC_BASE + Apic.Version)).toBe(ALL_ONES);
      guest.write32(APIC_BASE + Apic.LvtTimer, 0xef);
      expect(apic.readRegister(Apic.LvtTimer)).not.toBe(0xef);
      expect(guest.fault(() => guest.wrmsr(X2APIC_ICR, 0x4000n))).toMatchObject({
        vector: EXCEPTION.generalProtection,
      });
    });

    test("lets through what the boot processor without one is sent: an 8259's interrupts, and NMIs", () => {
      const machine = x2apicMachine();
      through(machine, values);
      expect(machine.apic.readRegister(Apic.LvtLint0)).toBe(0x700);
      expect(machine.apic.readRegister(Apic.LvtLint1)).toBe(0x400);
      expect(machine.apic.readRegister(Apic.Svr) & 0x100).toBe(0x100);
    });

    test("comes back as out of reset", () => {
      const machine = x2apicMachine();
      const { guest } = machine;
      guest.write32(APIC_BASE + Apic.LvtTimer, 0x2_00ef);
      guest.write32(APIC_BASE + Apic.Tpr, 0x40);
      through(machine, [...values, XAPIC]);
      expect(guest.cpuid(1)[3] & CPUID_APIC).toBe(CPUID_APIC);
      const registers = [Apic.Svr, Apic.Tpr, Apic.LvtTimer, Apic.LvtLint0, Apic.LvtLint1, Apic.Ldr, Apic.Dfr];
      const found = registers.map((register) => guest.read32(APIC_BASE + register) >>> 0);
      expect(found).toEqual([0xff, 0, 0x1_0000, 0x1_0000, 0x1_0000, 0, ALL_ONES]);
      expect(machine.apic.mode).toBe("xapic");
    });

    test("does not take INIT, and its processor is still Sheer's to stop", () => {
      const machine = x2apicMachine(2);
      const [first, second] = machine.guests as [typeof machine.guest, typeof machine.guest];
      for (const value of values) second.wrmsr(Msr.ApicBase, (value & ~BOOT) | 0xfee0_0000n);
      send(first, Command.Init, 1);
      settle(machine);
      expect(place(second)).not.toBe("waits");
      second.wrmsr(Msr.ApicBase, XAPIC & ~0x100n);
      send(first, Command.Init, 1);
      settle(machine);
      expect(place(second)).toBe("waits");
    });
  });

  describe("in x2APIC mode", () => {
    test("the page belongs to nothing", () => {
      const machine = x2apicMachine();
      through(machine, [X2APIC]);
      expect(machine.guest.read32(APIC_BASE + Apic.Version)).toBe(ALL_ONES);
      machine.guest.write32(ICR, 0x4000 | 0x33);
      expect(machine.apic.sent).toEqual([]);
    });

    test("the registers are the processor's", () => {
      const machine = x2apicMachine();
      through(machine, [X2APIC]);
      expect(machine.guest.rdmsr(X2APIC_ID)).toBe(0n);
      machine.guest.wrmsr(0x832, 0x2_00efn);
      expect(machine.apic.readRegister(Apic.LvtTimer)).toBe(0x2_00ef);
    });

    test.each([13, 16, 17, 20, 31])("reserved bit %i of the interrupt command is #GP", (bit) => {
      const machine = x2apicMachine();
      through(machine, [X2APIC]);
      const { guest } = machine;
      const fault = guest.fault(() => guest.wrmsr(X2APIC_ICR, 0x4033n | (1n << BigInt(bit))));
      expect(fault).toMatchObject({ vector: EXCEPTION.generalProtection, error: 0 });
      expect(machine.apic.sent).toEqual([]);
    });
  });
});
