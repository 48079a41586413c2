// What INIT and a start-up interrupt leave in a processor (AMD64 Architecture Programmer's Manual volume 2, table 14-1)
// and in its local APIC (16.3.1; Intel SDM 3, 11.4.7.3).
import { beforeEach, describe, expect, test } from "vitest";
import { Apic, APIC_BASE, Delivery } from "../../../machine/apic.ts";
import type { Machine } from "../../../machine/machine.ts";
import { Msr } from "../../../machine/msrs.ts";
import type { Guest } from "../../../machine/guest/guest.ts";
import { Gpr, Segment, type SegmentRegister } from "../../../machine/guest/state.ts";
import { VENDORS } from "../vcpu/setup.ts";
import { Command, send, settle } from "./setup.ts";

const { Es, Cs, Ss, Ds, Fs, Gs, Ldtr, Tr } = Segment;
const KEPT = [Msr.Star, Msr.Lstar, Msr.Cstar, Msr.Sfmask, Msr.KernelGsBase, Msr.Pat, Msr.SysenterCs, Msr.SysenterEsp, Msr.SysenterEip]; // prettier-ignore
const KEPT_VALUE = 0x0606_0606n;
const SIGNATURE = 0x60_0fb1n;

/** Gives everything a value that INIT must not leave, or must; control registers such that the guest can still run. */
function fill(guest: Guest): void {
  const { processor } = guest;
  for (const index of KEPT) guest.wrmsr(index, KEPT_VALUE);
  for (let register = 0; register < 16; register++) processor.setGpr(register, 0x7777_7777_7777_7777n);
  processor.setControlRegister(2, 0x1234_5000n);
  processor.dr6 = 0xffff_0ff1n;
  processor.dr7 = 0x455n;
  processor.setControlRegister(0, processor.controlRegister(0) | 0x6000_0000n);
  for (const index of [Fs, Gs]) processor.setSegment(index, { ...processor.segment(index), base: 0x5555n });
}

/** INIT to the boot processor from the other. */
function restart(machine: Machine): Guest {
  fill(machine.guest);
  send(machine.guests[1]!, Command.Init, 0);
  settle(machine);
  return machine.guest;
}

function startOther(machine: Machine, vector: number): Guest {
  const guest = machine.guests[1]!;
  fill(guest);
  send(machine.guest, Command.Init, 1);
  settle(machine);
  send(machine.guest, Command.startup(vector), 1);
  settle(machine);
  return guest;
}

describe.each(VENDORS)("%s", (_vendor, boot) => {
  let machine: Machine;

  beforeEach(() => {
    machine = boot({ processors: 2 });
  });

  describe("after INIT", () => {
    /** On the boot processor, which goes on at once; another does after SIPI. */
    const cases: readonly [string, () => Guest, bigint, SegmentRegister][] = [
      [
        "the boot processor",
        (): Guest => restart(machine),
        0xfff0n,
        { selector: 0xf000, attributes: 0x9b, limit: 0xffff, base: 0xffff_0000n },
      ],
      [
        "another processor, after SIPI",
        (): Guest => startOther(machine, 0xa7),
        0n,
        { selector: 0xa700, attributes: 0x9b, limit: 0xffff, base: 0xa_7000n },
      ],
    ];

    test.each(cases)("%s begins in real mode", (_name, prepare, rip, cs) => {
      const { processor } = prepare();
      const empty = (attributes: number): SegmentRegister => ({ selector: 0, attributes, limit: 0xffff, base: 0n });
      expect(processor.rip).toBe(rip);
      expect(processor.segment(Cs)).toEqual(cs);
      for (const index of [Es, Ss, Ds, Fs, Gs]) expect(processor.segment(index)).toEqual(empty(0x93));
      for (const table of ["gdtr", "idtr"] as const)
        expect(processor.descriptorTable(table)).toEqual({ limit: 0xffff, base: 0n });
      expect(processor.segment(Ldtr)).toEqual(empty(0x82));
      expect(processor.segment(Tr)).toEqual(empty(0x8b));
      expect(processor.cpl).toBe(0);
      expect(processor.rflags).toBe(2n);
      for (let register = 0; register < 16; register++)
        expect(processor.gpr(register)).toBe(register === Gpr.Rdx ? SIGNATURE : 0n);
    });

    test.each(cases)("%s has its control and debug registers cleared, but for the cache's bits", (_name, prepare) => {
      const { processor } = prepare();
      expect([0, 2, 3, 4].map((number) => processor.controlRegister(number))).toEqual([0x6000_0010n, 0n, 0n, 0n]);
      expect(processor.efer).toBe(0n);
      expect([processor.dr6, processor.dr7]).toEqual([0xffff_0ff0n, 0x400n]);
    });

    test.each(cases)("%s keeps its other MSRs", (_name, prepare) => {
      const guest = prepare();
      for (const index of KEPT) expect(guest.rdmsr(index)).toBe(KEPT_VALUE);
    });

    test.each(cases)("%s has nothing pending, and forgets its translations", (_name, prepare) => {
      const before = machine.guests.map(({ processor }) => processor.flushes);
      const { processor } = prepare();
      expect(processor.injection).toBeUndefined();
      expect(processor.shadow).toBe(false);
      expect(processor.flushes).toBeGreaterThan(
        before[machine.guests.findIndex((guest) => guest.processor === processor)]!,
      );
    });

    test("the cache's bits of CR0 stay clear where they are", () => {
      const { processor } = machine.guests[1]!;
      processor.setControlRegister(0, 0x8005_0033n);
      send(machine.guest, Command.Init, 1);
      send(machine.guest, Command.startup(1), 1);
      settle(machine);
      expect(processor.controlRegister(0)).toBe(0x10n);
    });

    test("DR0 to DR3 are cleared, on the processor itself", () => {
      startOther(machine, 1);
      expect(machine.processors.all.map(({ breakpointsCleared }) => breakpointsCleared)).toEqual([0, 1]);
    });

    test("what only the processor's own MSRs hold is as it was", () => {
      const { msrs } = machine.processor(1);
      const before = [Msr.ApicBase, Msr.MtrrDefType, Msr.Efer].map((index) => msrs.read(index));
      startOther(machine, 1);
      expect([Msr.ApicBase, Msr.MtrrDefType, Msr.Efer].map((index) => msrs.read(index))).toEqual(before);
    });
  });

  describe("the local APIC after INIT", () => {
    const LOCAL_VECTORS = [
      Apic.LvtTimer,
      Apic.LvtThermal,
      Apic.LvtCounter,
      Apic.LvtLint0,
      Apic.LvtLint1,
      Apic.LvtError,
    ];

    /** A local APIC in the midst of everything. */
    beforeEach(() => {
      const guest = machine.guests[1]!;
      const write = (register: number, value: number): void => guest.write32(APIC_BASE + register, value);
      write(Apic.Tpr, 0x20);
      write(Apic.Ldr, 0x0200_0000);
      write(Apic.Dfr, 0x0fff_ffff);
      write(Apic.IcrHigh, 0x0300_0000);
      write(Apic.TimerDivide, 0xb);
      for (const register of LOCAL_VECTORS) write(register, 0x71);
      write(Apic.TimerInitial, 1000);
      guest.cli();
      const { apic } = machine.processor(1);
      for (const vector of [0x51, 0x92, 0xfe]) apic.accept(vector);
      apic.acknowledge();
      apic.accept(0x40, Delivery.Fixed, true);
      startOther(machine, 1);
    });

    test("is as the manual says", () => {
      const { apic } = machine.processor(1);
      const read = (register: number): number => apic.readMmio(register);
      expect([Apic.Tpr, Apic.Ldr, Apic.TimerInitial, Apic.TimerDivide].map(read)).toEqual([0, 0, 0, 0]);
      expect([read(Apic.Dfr), read(Apic.Svr)]).toEqual([0xffff_ffff, 0xff]);
      expect(LOCAL_VECTORS.map((register) => read(register) & 0x1_0000)).toEqual(LOCAL_VECTORS.map(() => 0x1_0000));
      expect([apic.irr.highest(), apic.isr.highest()]).toEqual([-1, -1]);
      expect(apic.id).toBe(1);
    });

    test("sends nothing afterwards", () => {
      machine.clock.advance(1_000_000);
      expect(machine.processor(1).apic.irr.highest()).toBe(-1);
    });

    test("has no logical name any more", () => {
      send(machine.guest, Command.Init | Command.Logical, 0x02);
      settle(machine);
      expect(machine.guests[1]!.processor.waiting).toBe(false);
    });

    test("leaves the others' as they were", () => {
      const { apic } = machine;
      expect([Apic.Svr, Apic.Dfr].map((register) => apic.readMmio(register))).toEqual([0x1ff, 0xffff_ffff]);
    });
  });
});
