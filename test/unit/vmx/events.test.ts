// Windows, blocking and vectoring of events under VT-x (Intel SDM 3, 25.4.2, 26.2, 27.6 and 28.2).
import { describe, expect, test } from "vitest";
import { EventType, type GuestEvent } from "../../../machine/guest/events.ts";
import { ExitReason } from "../../../machine/vmx/exit-reasons.ts";
import type { VmxProcessor } from "../../../machine/vmx/processor.ts";
import { Blocking, Field, Pin, Primary } from "../../../machine/vmx/vmcs.ts";
import { Command, nmis, place, send, settle } from "../processors/setup.ts";
import { bootIntel, vmxOf } from "../vcpu/setup.ts";
import { boot } from "./setup.ts";

const NMI: GuestEvent = { type: EventType.Nmi, vector: 2, error: undefined };
const external = (vector: number): GuestEvent => ({ type: EventType.External, vector, error: undefined });
/** In the qualification of an EPT violation: a write; an IRET had ended the blocking by NMI. */
const WRITE = 2n;
const NMI_UNBLOCKED = 1n << 12n;

const waitsForNmiWindow = ({ vmcs }: VmxProcessor): boolean => vmcs.controls(Field.ProcessorBased, Primary.NmiWindow);
const waitsForWindow = ({ vmcs }: VmxProcessor): boolean =>
  vmcs.controls(Field.ProcessorBased, Primary.InterruptWindow);

describe("an NMI that ended the guest's run", () => {
  test("is the guest's, also where there is one processor", () => {
    const { processor } = boot();
    processor.exitForNmi();
    expect(processor.injection).toEqual(NMI);
  });

  test.each([
    ["an NMI", Blocking.Nmi],
    ["MOV SS", Blocking.MovSs],
  ])("waits for the window while %s blocks it", (_name, blocking) => {
    const { processor } = boot();
    processor.vmcs.set(Field.Interruptibility, BigInt(blocking));
    processor.exitForNmi();
    expect(processor.injection).toBeUndefined();
    expect(waitsForNmiWindow(processor)).toBe(true);
    processor.vmcs.set(Field.Interruptibility, 0n);
    processor.exit(ExitReason.NmiWindow);
    expect(processor.injection).toEqual(NMI);
    expect(waitsForNmiWindow(processor)).toBe(false);
  });

  test("waits for an interrupt window while STI blocks it, in which an NMI window may open", () => {
    const { machine, processor } = boot();
    const { guest } = machine;
    guest.sti();
    processor.exitForNmi();
    expect(processor.injection).toBeUndefined();
    expect([waitsForNmiWindow(processor), waitsForWindow(processor)]).toEqual([false, true]);
    guest.cpuid(0);
    expect(nmis(guest)).toBe(1);
    expect(waitsForWindow(processor)).toBe(false);
  });

  test("stays blocked by the handler if the access of its IRET exits", () => {
    const { machine, processor } = boot();
    machine.memory.writeBytes(Number(processor.rip), [0xcf]);
    processor.exit(ExitReason.EptViolation, { qualification: WRITE | NMI_UNBLOCKED, guestPhysical: 0x30_0000n });
    expect(processor.vmcs.get(Field.Interruptibility) & BigInt(Blocking.Nmi)).not.toBe(0n);
  });

  test("that came while the host ran is noted before the next entry", () => {
    const { machine, processor } = boot();
    const { guest } = machine;
    let came = false;
    processor.onExit = () => {
      if (!came) machine.nmi();
      came = true;
    };
    guest.cpuid(0);
    guest.cpuid(0);
    expect(nmis(guest)).toBe(1);
  });
});

describe("an interrupt that ended the run of a guest that cannot take it", () => {
  /** Interrupts exit, as they do once a card may send a private vector. */
  function intercepting(): ReturnType<typeof boot> {
    const result = boot();
    const { vmcs } = result.processor;
    vmcs.set(Field.PinBased, vmcs.get(Field.PinBased) | BigInt(Pin.ExternalInterrupt));
    return result;
  }

  test("stays in the local APIC until a window opens", () => {
    const { machine, processor } = intercepting();
    const { guest, apic } = machine;
    guest.cli();
    apic.accept(0x41);
    guest.cpuid(0);
    expect(apic.irr.has(0x41)).toBe(true);
    expect(processor.vmcs.controls(Field.PinBased, Pin.ExternalInterrupt)).toBe(false);
    expect(waitsForWindow(processor)).toBe(true);
    guest.cpuid(0);
    expect(guest.exits("interrupt")).toBe(1);
    guest.enableInterrupts();
    expect(guest.received).toEqual([external(0x41)]);
    expect(waitsForWindow(processor)).toBe(false);
  });

  test.each(["sti", "movSs"] as const)("comes after the shadow of %s", (shadow) => {
    const { machine, processor } = intercepting();
    const { guest, apic } = machine;
    processor.interruptsEnabled = true;
    guest[shadow]();
    apic.accept(0x41);
    const seen: number[] = [];
    machine.ports.onAccess = () => seen.push(guest.received.length);
    guest.in(0x80, 1);
    expect(seen).toEqual([0]);
    expect(guest.received).toEqual([external(0x41)]);
  });

  test("comes after an event that is being delivered", () => {
    const { machine, processor } = intercepting();
    const { guest, apic } = machine;
    processor.interruptsEnabled = true;
    apic.accept(0x41);
    const fault = { address: 0x30_0000, access: {}, tables: false, present: true, reserved: false, rights: 7 };
    processor.exitForFault(fault, NMI);
    processor.settle();
    expect(guest.received).toEqual([NMI, external(0x41)]);
  });
});

describe("vectoring", () => {
  const fault = { address: 0x30_0000, access: {}, tables: false, present: true, reserved: false, rights: 7 };

  test("of an NMI ends its blocking, with which the entry would be refused", () => {
    const { processor } = boot();
    processor.exitForFault(fault, NMI);
    expect(processor.injection).toEqual(NMI);
    expect(processor.vmcs.controls(Field.Interruptibility, Blocking.Nmi)).toBe(false);
  });

  test("leaves undefined bits of its field behind", () => {
    const { processor } = boot();
    const { vmcs } = processor;
    processor.exitForFault(fault, { type: EventType.Exception, vector: 14, error: 2 });
    vmcs.set(Field.IdtVectoring, vmcs.get(Field.IdtVectoring) | 0x1000n);
    processor.onExit = () => undefined;
    expect(vmcs.get(Field.EntryInterruption)).toBe(0x8000_0b0en);
    expect(vmcs.get(Field.EntryErrorCode)).toBe(2n);
  });
});

describe("another processor", () => {
  test("that is halted is reset by INIT and starts where the start-up interrupt says", () => {
    const machine = bootIntel({ processors: 2 });
    const other = machine.guests[1]!;
    other.processor.halted = true;
    send(machine.guest, Command.Init, 1);
    settle(machine);
    expect(place(other)).toBe("waits");
    send(machine.guest, Command.startup(9), 1);
    settle(machine);
    expect(place(other)).toBe("900:0");
    expect(vmxOf(other).vmcs.get(Field.Activity)).toBe(0n);
    expect(other.processor.injection).toBeUndefined();
  });

  test("that is halted stays so after Sheer's own NMI", () => {
    const machine = bootIntel({ processors: 2 });
    const other = machine.guests[1]!;
    other.processor.halted = true;
    send(machine.guest, Command.startup(9), 1); // for nobody: it runs
    machine.guest.wrmsr(0x2ff, machine.guest.rdmsr(0x2ff) & ~0x400n); // the address space changes
    settle(machine);
    expect(other.exits("nmi")).toBeGreaterThan(0);
    expect(other.processor.halted).toBe(true);
    expect(nmis(other)).toBe(0);
  });
});
