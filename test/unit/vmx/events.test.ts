// NMIs, INIT and start-up interrupts of a guest under VT-x (Intel SDM 3, 25.3, 26.2 and 28.2).
import { describe, expect, test } from "vitest";
import { ExitReason, type VmxProcessor } from "../../../machine/vmx/processor.ts";
import { Blocking, EventType, Field, Primary } from "../../../machine/vmx/vmcs.ts";
import { boot } from "./setup.ts";

const [RAX, RCX] = [0, 1];
const HLT = 1n;
const REAL_MODE = 0x10n;
const NMI = { type: EventType.Nmi, vector: 2, error: undefined };
const APIC_PAGE = 0xfee0_0000;
/** MOV [RAX], ECX */
const STORE = [0x89, 0x08];
/** In the qualification of an EPT violation: a write to what is not mapped; an IRET had ended the blocking by NMI. */
const WRITE = 2n;
const NMI_UNBLOCKED = 1n << 12n;

const waitsForWindow = (guest: VmxProcessor): boolean => guest.vmcs.controls(Field.ProcessorBased, Primary.NmiWindow);

describe("an NMI that ended the guest's run", () => {
  test("is the guest's", () => {
    const { guest } = boot();
    guest.exit(ExitReason.ExceptionOrNmi);
    expect(guest.injected).toEqual(NMI);
  });

  test.each([
    ["an NMI", Blocking.Nmi],
    ["MOV SS", Blocking.MovSs],
  ])("waits while %s blocks it, also where there is one processor", (_name, blocking) => {
    const { guest } = boot();
    guest.vmcs.set(Field.Interruptibility, BigInt(blocking));
    guest.exit(ExitReason.ExceptionOrNmi);
    expect(guest.injected).toBeUndefined();
    expect(waitsForWindow(guest)).toBe(true);
    guest.vmcs.set(Field.Interruptibility, 0n);
    guest.exit(ExitReason.NmiWindow);
    expect(guest.injected).toEqual(NMI);
    expect(waitsForWindow(guest)).toBe(false);
  });

  test("stays blocked by the handler if the access of its IRET exits", () => {
    const { machine, guest } = boot();
    machine.memory.writeBytes(Number(guest.vmcs.get(Field.Rip)), [0xcf]);
    guest.exit(ExitReason.EptViolation, { qualification: WRITE | NMI_UNBLOCKED, guestPhysical: 0x30_0000n });
    expect(guest.vmcs.get(Field.Interruptibility) & BigInt(Blocking.Nmi)).not.toBe(0n);
  });
});

describe("another processor", () => {
  test("that was halted is reset by INIT and starts where the start-up interrupt says", () => {
    const { machine, guest } = boot({ processors: 2 });
    const { apic, vmxGuest } = machine.processor(1);
    const other = vmxGuest!;
    /** Writes the interrupt command register for local APIC 1. */
    const send = (command: bigint): void => {
      for (const [register, value] of [
        [0x310, 1n << 24n],
        [0x300, command],
      ] as const) {
        machine.memory.writeBytes(Number(guest.vmcs.get(Field.Rip)), STORE);
        guest.setGpr(RAX, BigInt(APIC_PAGE + register));
        guest.setGpr(RCX, value);
        guest.exit(ExitReason.EptViolation, { qualification: WRITE, guestPhysical: BigInt(APIC_PAGE + register) });
      }
      expect(apic.nmi).toBe(true);
      apic.nmi = false;
    };
    other.vmcs.set(Field.Activity, HLT);
    send(0x4500n);
    other.exit(ExitReason.ExceptionOrNmi);
    expect(other.waiting).toBe(true);
    send(0x4609n);
    other.wake();
    expect(other.waiting).toBe(false);
    expect(other.vmcs.get(Field.Activity)).toBe(0n);
    expect(other.vmcs.get(Field.CsSelector)).toBe(0x900n);
    expect(other.vmcs.get(Field.Rip)).toBe(0n);
    expect(other.injected).toBeUndefined();
  });
});

describe("a MOV to CR0", () => {
  /** What the guest reads. */
  const cr0 = (guest: VmxProcessor): bigint => {
    const mask = guest.vmcs.get(Field.Cr0Mask);
    return (guest.vmcs.get(Field.Cr0) & ~mask) | (guest.vmcs.get(Field.Cr0Shadow) & mask);
  };

  test("that turns paging on together with a bit that Sheer watches is no exit when it is run again", () => {
    const { guest } = boot();
    const { vmcs } = guest;
    vmcs.set(Field.Cr0Shadow, REAL_MODE | 1n);
    vmcs.set(Field.Cr0, REAL_MODE | 0x21n);
    vmcs.set(Field.Efer, 0n);
    vmcs.set(Field.EntryControls, vmcs.get(Field.EntryControls) & ~(1n << 9n));
    vmcs.set(Field.CsRights, 0xc09bn);
    const before = vmcs.get(Field.Rip);
    const wanted = 0x8005_0033n; // as Linux starts its processors
    guest.setGpr(RAX, wanted);
    guest.exit(ExitReason.ControlRegister, { qualification: 0n, length: 3 });
    expect(guest.injected).toBeUndefined();
    expect(vmcs.get(Field.Rip)).toBe(before);
    expect((wanted ^ vmcs.get(Field.Cr0Shadow)) & vmcs.get(Field.Cr0Mask)).toBe(0n);
    expect(cr0(guest) & 1n).toBe(1n);
  });
});
