// What INIT and a start-up interrupt leave in a processor (AMD64 Architecture Programmer's Manual volume 2, table 14-1)
// and in its local APIC (16.3.1; Intel SDM 3, 11.4.7.3).
import { beforeEach, describe, expect, test } from "vitest";
import { Apic, APIC_BASE, Delivery } from "../../../machine/apic.ts";
import type { Machine } from "../../../machine/machine.ts";
import { Msr } from "../../../machine/msrs.ts";
import type { Guest } from "../../../machine/svm/guest.ts";
import { Gpr } from "../../../machine/svm/state.ts";
import { Control, Save } from "../../../machine/svm/vmcb.ts";
import { boot } from "../vcpu/setup.ts";
import { Command, send, settle } from "./setup.ts";

/** Offsets of segment and table registers in the save area. */
const SEGMENTS = { es: 0x400, ss: 0x420, ds: 0x430, fs: 0x440, gs: 0x450 } as const;
const CS = 0x410;
const TABLES = { gdtr: 0x460, ldtr: 0x470, idtr: 0x480, tr: 0x490 } as const;
const SVME = 1n << 12n;
const KEPT = [Save.Star, Save.Lstar, Save.Cstar, Save.Sfmask, Save.KernelGsBase, Save.Pat] as const;
const SYSENTER = [Save.SysenterCs, Save.SysenterEsp, Save.SysenterEip] as const;
const SIGNATURE = 0x60_0fb1n;

/** Selector, attributes, limit and base. */
function segment({ processor }: Guest, at: number): [number, number, number, bigint] {
  const { vmcb } = processor;
  return [vmcb.get16(at), vmcb.get16(at + 2), vmcb.get32(at + 4), vmcb.get(at + 8)];
}

/** Gives everything a value that INIT must not leave, or must; control registers such that the guest can still run. */
function fill({ processor }: Guest): void {
  const { vmcb } = processor;
  for (let register = 0; register < 16; register++) processor.setGpr(register, 0x7777_7777_7777_7777n);
  for (const at of [...KEPT, ...SYSENTER]) vmcb.set(at, 0x0007_0406_0000_0406n);
  vmcb.set(Save.Cr2, 0x1234_5000n);
  vmcb.set(Save.Dr6, 0xffff_0ff1n);
  vmcb.set(Save.Dr7, 0x455n);
  vmcb.set(Save.Cr0, vmcb.get(Save.Cr0) | 0x6000_0000n);
  vmcb.set(Save.FsBase, 0x5555n);
  vmcb.set(Save.GsBase, 0x6666n);
}

let machine: Machine;

beforeEach(() => {
  machine = boot({ processors: 2 });
});

describe("after INIT", () => {
  /** On the boot processor, which goes on at once; another does after SIPI. */
  const cases: readonly [string, () => Guest, bigint, [number, number, number, bigint]][] = [
    ["the boot processor", (): Guest => restart(machine), 0xfff0n, [0xf000, 0x9b, 0xffff, 0xffff_0000n]],
    ["another processor, after SIPI", (): Guest => startOther(machine, 0xa7), 0n, [0xa700, 0x9b, 0xffff, 0xa_7000n]],
  ];

  test.each(cases)("%s begins in real mode", (_name, prepare, rip, cs) => {
    const guest = prepare();
    const { processor } = guest;
    const { vmcb } = processor;
    expect(processor.rip).toBe(rip);
    expect(segment(guest, CS)).toEqual(cs);
    for (const at of Object.values(SEGMENTS)) expect(segment(guest, at)).toEqual([0, 0x93, 0xffff, 0n]);
    for (const at of [TABLES.gdtr, TABLES.idtr]) expect(segment(guest, at).slice(2)).toEqual([0xffff, 0n]);
    expect(segment(guest, TABLES.ldtr)).toEqual([0, 0x82, 0xffff, 0n]);
    expect(segment(guest, TABLES.tr)).toEqual([0, 0x8b, 0xffff, 0n]);
    expect(vmcb.get8(Save.Cpl)).toBe(0);
    expect(processor.rflags).toBe(2n);
    for (let register = 0; register < 16; register++)
      expect(processor.gpr(register)).toBe(register === Gpr.Rdx ? SIGNATURE : 0n);
  });

  test.each(cases)("%s has its control and debug registers cleared, but for the cache's bits", (_name, prepare) => {
    const { processor } = prepare();
    const { vmcb } = processor;
    expect(vmcb.get(Save.Cr0)).toBe(0x6000_0010n);
    expect([Save.Cr2, Save.Cr3, Save.Cr4].map((at) => vmcb.get(at))).toEqual([0n, 0n, 0n]);
    expect(vmcb.get(Save.Efer)).toBe(SVME);
    expect([vmcb.get(Save.Dr6), vmcb.get(Save.Dr7)]).toEqual([0xffff_0ff0n, 0x400n]);
  });

  test.each(cases)("%s keeps its other MSRs", (_name, prepare) => {
    const { vmcb } = prepare().processor;
    for (const at of [...KEPT, ...SYSENTER]) expect(vmcb.get(at)).toBe(0x0007_0406_0000_0406n);
  });

  test.each(cases)("%s has nothing pending, and forgets its translations", (_name, prepare) => {
    const { vmcb } = prepare().processor;
    expect(vmcb.get(Control.EventInjection) & 0x8000_0000n).toBe(0n);
    expect(vmcb.get(Control.InterruptShadow) & 1n).toBe(0n);
    expect(vmcb.get8(Control.TlbControl) & 7).not.toBe(0);
  });

  test("the cache's bits of CR0 stay clear where they are", () => {
    machine.guests[1]!.processor.vmcb.set(Save.Cr0, 0x8005_0033n);
    send(machine.guest, Command.Init, 1);
    send(machine.guest, Command.startup(1), 1);
    settle(machine);
    expect(machine.guests[1]!.processor.vmcb.get(Save.Cr0)).toBe(0x10n);
  });

  test("DR0 to DR3 are cleared, on the processor itself", () => {
    startOther(machine, 1);
    expect(machine.processors.all.map(({ breakpointsCleared }) => breakpointsCleared)).toEqual([0, 1]);
  });

  test("what only the processor's own MSRs hold is as it was", () => {
    const { msrs } = machine.processor(1);
    const before = [Msr.ApicBase, Msr.MtrrDefType, Msr.Efer, Msr.VmHsavePa].map((index) => msrs.read(index));
    startOther(machine, 1);
    expect([Msr.ApicBase, Msr.MtrrDefType, Msr.Efer, Msr.VmHsavePa].map((index) => msrs.read(index))).toEqual(before);
  });
});

describe("the local APIC after INIT", () => {
  const LOCAL_VECTORS = [Apic.LvtTimer, Apic.LvtThermal, Apic.LvtCounter, Apic.LvtLint0, Apic.LvtLint1, Apic.LvtError];

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
