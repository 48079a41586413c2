// The simulated processor with VT-x: what exits and how (Intel SDM 3, 25.6, 26.1 to 26.5, 28.2 and 29.3).
import { beforeEach, describe, expect, test } from "vitest";
import { EventType } from "../../../machine/guest/events.ts";
import type { Guest } from "../../../machine/guest/guest.ts";
import { ExitReason } from "../../../machine/vmx/exit-reasons.ts";
import { Blocking, Field, Pin, Primary, Secondary } from "../../../machine/vmx/vmcs.ts";
import { CODE, IO_BITMAPS, largeEntry, MSR_BITMAPS, smallEntry, VmxBench } from "./vmx-bench.ts";

let bench: VmxBench;
let guest: Guest;
beforeEach(() => {
  bench = new VmxBench();
  guest = bench.guest;
});

const reasons = (): number[] => bench.exits.map(([reason]) => reason);

describe("instructions", () => {
  test("that exit whatever the controls say", () => {
    guest.cpuid(0);
    guest.hypercall();
    guest.xsetbv(0, 1n);
    guest.plain("invd");
    guest.plain("vmxon");
    const { Cpuid, Vmcall, Xsetbv, Invd, Vmxon } = ExitReason;
    expect(reasons()).toEqual([Cpuid, Vmcall, Xsetbv, Invd, Vmxon]);
  });

  test("that do not exit unless a control says so", () => {
    guest.plain("wbinvd");
    guest.plain("pause");
    guest.rdtsc();
    guest.writeCr(3, guest.readCr(3));
    guest.writeCr(8, 1n);
    expect(bench.exits).toEqual([]);
    bench.add(Field.Secondary, Secondary.Wbinvd);
    bench.add(Field.ProcessorBased, Primary.Rdtsc | Primary.Cr8Load | Primary.Cr3Store);
    guest.plain("wbinvd");
    guest.rdtsc();
    guest.writeCr(8, 1n);
    guest.readCr(3);
    expect(bench.exits).toEqual([
      [ExitReason.Wbinvd, 0n],
      [16, 0n],
      [ExitReason.ControlRegister, 8n],
      [ExitReason.ControlRegister, 0x13n],
    ]);
  });

  test("bring their length", () => {
    guest.cpuid(0);
    expect(bench.vmcs.get(Field.ExitInstructionLength)).toBe(2n);
    guest.hypercall();
    expect(bench.vmcs.get(Field.ExitInstructionLength)).toBe(3n);
  });

  test("that are not enabled are #UD", () => {
    expect(guest.fault(() => guest.plain("rdtscp"))?.vector).toBe(6);
    bench.add(Field.Secondary, Secondary.Rdtscp);
    expect(guest.fault(() => guest.plain("rdtscp"))).toBeUndefined();
  });
});

describe("CR0", () => {
  test("exits when a watched bit is to differ from the shadow, which is what the guest reads", () => {
    bench.vmcs.set(Field.Cr0Mask, 0x20n);
    bench.vmcs.set(Field.Cr0Shadow, 0n);
    expect(guest.readCr(0) & 0x20n).toBe(0n);
    guest.writeCr(0, 0x8005_0013n);
    expect(bench.exits).toEqual([]);
    expect(bench.vmcs.get(Field.Cr0) & 0x20n).toBe(0x20n);
    guest.writeCr(0, 0x8005_0033n);
    expect(bench.exits).toEqual([[ExitReason.ControlRegister, 0n]]);
  });
});

describe("I/O ports exit by the bitmap of their half", () => {
  test.each<[string, number, () => unknown, bigint | undefined]>([
    ["below", 0x88, () => guest.out(0x87, 1, 0), undefined],
    ["around", 0x88, () => guest.out(0x87, 4, 0), 0x87_0003n],
    ["of its own, IN", 0x88, () => guest.in(0x88, 1), 0x88_0008n],
    ["in the upper half", 0x9000, () => guest.in(0x9000, 2), 0x9000_0009n],
    ["that another's does not touch", 0x1000, () => guest.in(0x9000, 2), undefined],
    ["REP OUTS", 0x88, () => guest.string("out", 0x88, 2, 0x5000, 1), 0x88_0031n],
    ["REP INS", 0x88, () => guest.string("in", 0x88, 1, 0x5000, 1), 0x88_0038n],
    ["across the end of the ports", 0x10, () => guest.in(0xffff, 2), 0xffff_0009n],
  ])("%s", (_name, port, access, qualification) => {
    bench.machine.memory.write8(IO_BITMAPS + (port >> 3), 1 << (port & 7));
    access();
    expect(bench.exits).toEqual(qualification === undefined ? [] : [[ExitReason.IoInstruction, qualification]]);
  });
});

describe("MSRs", () => {
  test.each([
    [0x277, 0x4e, 1 << 7],
    [0xc000_0082, 0x410, 1 << 2],
  ])("%i has a bit for reads and, 800h behind, one for writes", (index, at, bit) => {
    bench.machine.memory.write8(MSR_BITMAPS + at, bit);
    guest.rdmsr(index);
    guest.wrmsr(index, 0n);
    expect(reasons()).toEqual([ExitReason.Rdmsr]);
    bench.machine.memory.write8(MSR_BITMAPS + at, 0);
    bench.machine.memory.write8(MSR_BITMAPS + 0x800 + at, bit);
    guest.rdmsr(index);
    guest.wrmsr(index, 0n);
    expect(reasons()).toEqual([ExitReason.Rdmsr, ExitReason.Wrmsr]);
  });

  test.each([0x2000, 0xc000_2000, 0xc001_0015])("outside the bitmaps always exit: %i", (index) => {
    guest.rdmsr(index);
    expect(reasons()).toEqual([ExitReason.Rdmsr]);
  });
});

describe("extended page tables", () => {
  const PAGE = 0x5008;
  /** Has the core repair the entry, so that the access then succeeds. */
  const repaired = (): void => {
    bench.answer = () => bench.machine.memory.write64(smallEntry(PAGE), 0x5037n);
  };

  test.each<[string, bigint, boolean, bigint]>([
    ["absent, read", 0n, false, 0x181n],
    ["absent, written", 0n, true, 0x182n],
    ["read-only, written", 0x5031n, true, 0x18an],
    ["read-only and executable, written", 0x5035n, true, 0x1aan],
    ["executable only, read", 0x5034n, false, 0x1a1n],
  ])("a page that is %s is a violation", (_name, entry, write, qualification) => {
    bench.machine.memory.write64(smallEntry(PAGE), entry);
    repaired();
    if (write) guest.write32(PAGE, 1);
    else guest.read32(PAGE);
    expect(bench.exits).toEqual([[ExitReason.EptViolation, qualification]]);
    expect(bench.vmcs.get(Field.GuestPhysicalAddress)).toBe(BigInt(PAGE));
  });

  test.each([
    ["writable but not readable", 0x5032n],
    ["of a memory type that there is none of", 0x5017n],
  ])("an entry that is %s is a misconfiguration", (_name, entry) => {
    bench.machine.memory.write64(smallEntry(PAGE), entry);
    repaired();
    guest.read32(PAGE);
    expect(reasons()).toEqual([ExitReason.EptMisconfiguration]);
  });

  test("a fetch from what is not executable is a violation", () => {
    bench.machine.memory.write64(smallEntry(CODE), BigInt(CODE) | 0x33n);
    bench.answer = () => bench.machine.memory.write64(smallEntry(CODE), BigInt(CODE) | 0x37n);
    guest.read32(PAGE);
    expect(bench.exits).toEqual([[ExitReason.EptViolation, 0x19cn]]);
  });

  test.each([
    ["reads", 0n, 0n],
    ["where accessed bits are kept, reads and writes,", 1n << 6n, 0xabn],
  ])("a walk of the guest's own tables %s", (_name, accessedDirty, qualification) => {
    const { memory, firmware } = bench.machine;
    const { cr3 } = firmware.context;
    bench.vmcs.set(Field.EptPointer, bench.vmcs.get(Field.EptPointer) | accessedDirty);
    const entry = memory.read64(largeEntry(cr3));
    memory.write64(largeEntry(cr3), entry & ~2n);
    bench.answer = () => memory.write64(largeEntry(cr3), entry);
    guest.read32(PAGE);
    expect(bench.exits).toEqual(qualification ? [[ExitReason.EptViolation, qualification]] : []);
  });

  test("are remembered until INVEPT", () => {
    const { memory } = bench.machine;
    guest.read32(PAGE);
    memory.write64(smallEntry(PAGE), 0x7037n);
    memory.write32(0x7008, 0x1234);
    expect(guest.read32(PAGE)).toBe(0);
    bench.operation.onInvalidation();
    expect(guest.read32(PAGE)).toBe(0x1234);
  });
});

describe("events", () => {
  const nothing = (): void => undefined;

  test("interrupts that exit do so whatever IF is, and are taken from the local APIC only by a control", () => {
    bench.add(Field.PinBased, Pin.ExternalInterrupt);
    bench.answer = (reason) => {
      if (reason === ExitReason.ExternalInterrupt) bench.remove(Field.PinBased, Pin.ExternalInterrupt);
      else bench.advance();
    };
    bench.machine.apic.accept(0x55);
    guest.in(0x80, 1);
    expect(reasons()).toEqual([ExitReason.ExternalInterrupt]);
    expect(bench.machine.apic.irr.has(0x55)).toBe(true);
    expect(bench.vmcs.get(Field.ExitInterruption)).toBe(0n);
  });

  test("an interrupt window opens before the interrupt, once IF is set and no shadow is left", () => {
    bench.add(Field.ProcessorBased, Primary.InterruptWindow);
    bench.answer = () => bench.remove(Field.ProcessorBased, Primary.InterruptWindow);
    bench.machine.apic.accept(0x55);
    guest.in(0x80, 1);
    expect(bench.exits).toEqual([]);
    guest.sti();
    const seen: number[] = [];
    bench.machine.ports.onAccess = () => seen.push(bench.exits.length);
    guest.in(0x80, 1);
    expect(seen).toEqual([0]);
    expect(reasons()).toEqual([ExitReason.InterruptWindow]);
    expect(guest.takeInterrupts()).toEqual([0x55]);
  });

  test("an NMI that exits is taken by the exit, which tells of it", () => {
    bench.add(Field.PinBased, Pin.Nmi | Pin.VirtualNmis);
    bench.answer = nothing;
    bench.machine.nmi();
    guest.in(0x80, 1);
    expect(reasons()).toEqual([ExitReason.ExceptionOrNmi]);
    expect(bench.vmcs.get(Field.ExitInterruption)).toBe(0x8000_0202n);
    expect(bench.machine.apic.nmi).toBe(false);
  });

  test("an NMI that is injected blocks the next until IRET, when the window opens", () => {
    bench.add(Field.PinBased, Pin.Nmi | Pin.VirtualNmis);
    bench.vmcs.set(Field.EntryInterruption, 0x8000_0202n);
    bench.answer = () => bench.remove(Field.ProcessorBased, Primary.NmiWindow);
    let blocked = false;
    guest.processor.handlers.set(2, () => {
      blocked = bench.vmcs.controls(Field.Interruptibility, Blocking.Nmi);
      bench.add(Field.ProcessorBased, Primary.NmiWindow);
      guest.in(0x80, 1);
      expect(bench.exits).toEqual([]);
    });
    guest.in(0x80, 1);
    expect(blocked).toBe(true);
    expect(reasons()).toEqual([ExitReason.NmiWindow]);
  });

  test.each([
    ["STI", Blocking.Sti, true],
    ["MOV SS", Blocking.MovSs, false],
  ])("an NMI window in the shadow of %s", (_name, blocking, opens) => {
    bench.add(Field.PinBased, Pin.Nmi | Pin.VirtualNmis);
    bench.add(Field.ProcessorBased, Primary.NmiWindow);
    guest.processor.interruptsEnabled = true;
    bench.vmcs.set(Field.Interruptibility, BigInt(blocking));
    bench.answer = () => bench.remove(Field.ProcessorBased, Primary.NmiWindow);
    guest.processor.settle();
    expect(reasons()).toEqual(opens ? [ExitReason.NmiWindow] : []);
  });

  test("a single step that was pending is a debug exception", () => {
    bench.vmcs.set(Field.PendingDebug, 1n << 14n);
    expect(guest.fault(() => guest.in(0x80, 1))?.vector).toBe(1);
    expect(guest.processor.dr6 & (1n << 14n)).not.toBe(0n);
  });

  test("an event that an exit interrupts is in the IDT-vectoring fields, and no longer to be injected", () => {
    bench.answer = nothing;
    const fault = { address: 0x5000, access: {}, tables: false, present: true, reserved: false, rights: 7 };
    guest.processor.exitForFault(fault, { type: EventType.Exception, vector: 13, error: 0x18 });
    expect([bench.vmcs.get(Field.IdtVectoring), bench.vmcs.get(Field.IdtVectoringErrorCode)]).toEqual([0x8000_0b0dn, 0x18n]); // prettier-ignore
    expect(guest.processor.injection).toBeUndefined();
  });

  test("an exit follows the guest into and out of 64-bit mode", () => {
    bench.answer = () => bench.advance();
    guest.processor.efer = 0xd01n;
    bench.vmcs.set(Field.Efer, 1n);
    bench.vmcs.set(Field.CsRights, 0xc09bn);
    bench.vmcs.set(Field.Cr0, 0x33n);
    guest.cpuid(0);
    expect(bench.vmcs.controls(Field.EntryControls, 1 << 9)).toBe(false);
  });
});
