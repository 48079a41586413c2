// What a guest under VT-x gets for what ends its run (Intel SDM 3, chapters 26 and 28): bad input above all.
import { describe, expect, test } from "vitest";
import { GeneralProtection, Msr } from "../../../machine/msrs.ts";
import { VmxMsr } from "../../../machine/vmx/capabilities.ts";
import { ExitReason, type VmxProcessor } from "../../../machine/vmx/processor.ts";
import { EventType, Field } from "../../../machine/vmx/vmcs.ts";
import { boot } from "./setup.ts";

const [RAX, RCX, RDX, RBX] = [0, 1, 2, 3];
const GENERAL_PROTECTION = { type: EventType.Exception, vector: 13, error: 0n };
const INVALID_OPCODE = { type: EventType.Exception, vector: 6, error: undefined };
/** In the qualification of a control-register exit: MOV from a general register in 11:8 to the register in 3:0. */
const movTo = (cr: number, from: number): bigint => BigInt((from << 8) | cr);

const rip = (guest: VmxProcessor): bigint => guest.vmcs.get(Field.Rip);

/** RDMSR or WRMSR as an exit. */
function msr(guest: VmxProcessor, index: number, value?: bigint): void {
  guest.setGpr(RCX, BigInt(index));
  guest.setGpr(RAX, (value ?? 0n) & 0xffff_ffffn);
  guest.setGpr(RDX, (value ?? 0n) >> 32n);
  guest.exit(value === undefined ? ExitReason.Rdmsr : ExitReason.Wrmsr, { length: 2 });
}

describe("CPUID", () => {
  test("is answered, without VMX, and goes on behind the instruction", () => {
    const { guest } = boot();
    const before = rip(guest);
    guest.setGpr(RAX, 1n);
    guest.exit(ExitReason.Cpuid, { length: 2 });
    expect(guest.gpr(RCX) & (1n << 5n)).toBe(0n);
    expect(guest.gpr(RCX) & (1n << 31n)).not.toBe(0n);
    expect(rip(guest)).toBe(before + 2n);
  });

  test("tells of Sheer", () => {
    const { guest } = boot();
    guest.setGpr(RAX, 0x4000_0000n);
    guest.exit(ExitReason.Cpuid, { length: 2 });
    const words = [RBX, RCX, RDX].map((register) => Number(guest.gpr(register!)));
    expect(Buffer.from(Uint32Array.from(words).buffer).toString("latin1")).toBe("SheerSheerSh");
  });
});

describe("the MSRs of VMX", () => {
  test.each([VmxMsr.Basic, VmxMsr.Cr4Fixed1, VmxMsr.EptVpid, VmxMsr.TrueEntryControls])("do not exist: %i", (index) => {
    const { guest } = boot();
    const before = rip(guest);
    msr(guest, index);
    expect(guest.injected).toEqual(GENERAL_PROTECTION);
    msr(guest, index, 0n);
    expect(guest.injected).toEqual(GENERAL_PROTECTION);
    expect(rip(guest)).toBe(before);
  });

  test("allow nothing, and are locked", () => {
    const { guest } = boot();
    msr(guest, VmxMsr.FeatureControl);
    expect(guest.injected).toBeUndefined();
    expect(guest.gpr(RAX)).toBe(1n);
    msr(guest, VmxMsr.FeatureControl, 5n);
    expect(guest.injected).toEqual(GENERAL_PROTECTION);
  });

  test("and what does not exist on the machine is #GP there as well", () => {
    const { machine, guest } = boot();
    expect(() => machine.msrs.read(0x1234)).toThrow(GeneralProtection);
    msr(guest, 0x1234);
    expect(guest.injected).toEqual(GENERAL_PROTECTION);
  });

  test("others are the machine's", () => {
    const { machine, guest } = boot();
    msr(guest, Msr.MtrrCap);
    expect(guest.gpr(RAX)).toBe(machine.msrs.read(Msr.MtrrCap));
  });
});

describe("control registers", () => {
  test.each([1n << 13n, 1n << 14n])("VMXE and SMXE cannot be set in CR4: %i", (bit) => {
    const { guest } = boot();
    const cr4 = guest.vmcs.get(Field.Cr4Shadow);
    guest.setGpr(RBX, cr4 | bit);
    guest.exit(ExitReason.ControlRegister, { qualification: movTo(4, RBX!), length: 3 });
    expect(guest.injected).toEqual(GENERAL_PROTECTION);
    expect(guest.vmcs.get(Field.Cr4Shadow)).toBe(cr4);
  });

  test("the guest's CR4 is without VMXE, and its CR0 has NE as the firmware had it", () => {
    const { guest } = boot();
    const seen = (register: number, mask: number, shadow: number): bigint => {
      const bits = guest.vmcs.get(mask);
      return (guest.vmcs.get(register) & ~bits) | (guest.vmcs.get(shadow) & bits);
    };
    expect(seen(Field.Cr4, Field.Cr4Mask, Field.Cr4Shadow) & (1n << 13n)).toBe(0n);
    expect(seen(Field.Cr0, Field.Cr0Mask, Field.Cr0Shadow)).toBe(0x8001_0033n);
  });
});

describe("XSETBV", () => {
  test.each([
    ["without x87", 0, 6n],
    ["with AVX but not SSE", 0, 5n],
    ["with state that the processor lacks", 0, 0x207n],
    ["of a register that there is none of", 1, 1n],
  ])("%s is #GP", (_name, index, value) => {
    const { guest } = boot();
    const before = rip(guest);
    guest.setGpr(RCX, BigInt(index));
    guest.setGpr(RAX, value);
    guest.setGpr(RDX, 0n);
    guest.exit(ExitReason.Xsetbv, { length: 3 });
    expect(guest.injected).toEqual(GENERAL_PROTECTION);
    expect(rip(guest)).toBe(before);
  });

  test("of what the processor has is done", () => {
    const { guest } = boot();
    const before = rip(guest);
    guest.setGpr(RCX, 0n);
    guest.setGpr(RAX, 7n);
    guest.setGpr(RDX, 0n);
    guest.exit(ExitReason.Xsetbv, { length: 3 });
    expect(guest.injected).toBeUndefined();
    expect(rip(guest)).toBe(before + 3n);
  });
});

describe("instructions that the guest's processor does not have", () => {
  test.each(["Vmclear", "Vmxon", "Invept", "Invvpid"] as const)("are #UD: %s", (name) => {
    const { guest } = boot();
    guest.exit(ExitReason[name], { length: 5 });
    expect(guest.injected).toEqual(INVALID_OPCODE);
  });

  test("an exit that nobody has heard of is logged, and is #UD", () => {
    const { machine, guest } = boot();
    guest.exit(77, { qualification: 0x1234n });
    expect(guest.injected).toEqual(INVALID_OPCODE);
    expect(machine.log()).toMatch(/unknown.*77.*1234/);
  });
});

test("INVD writes the caches back", () => {
  const { machine, guest } = boot();
  guest.exit(ExitReason.Invd, { length: 2 });
  expect(machine.cacheWriteBacks).toBe(1);
});

describe("an event that an exit interrupted", () => {
  const EPT_PRESENT = { qualification: 0x3fn, guestPhysical: 0x30_0000n };
  test.each<[string, bigint, bigint, unknown]>([
    ["an external interrupt", 0x8000_0040n, 0n, { type: EventType.External, vector: 0x40, error: undefined }],
    ["an NMI", 0x8000_0202n, 0n, { type: EventType.Nmi, vector: 2, error: undefined }],
    ["a page fault", 0x8000_0b0en, 2n, { type: EventType.Exception, vector: 14, error: 2n }],
    ["#UD", 0x8000_0306n, 0n, { type: EventType.Exception, vector: 6, error: undefined }],
  ])("comes again: %s", (_name, vectoring, vectoringError, expected) => {
    const { guest } = boot();
    guest.vmcs.set(Field.Rflags, 0x202n);
    guest.exit(ExitReason.EptViolation, { ...EPT_PRESENT, vectoring, vectoringError });
    expect(guest.injected).toEqual(expected);
  });

  test.each([
    ["a software interrupt", 0x8000_0480n],
    ["INT3", 0x8000_0603n],
  ])("does not come again if its instruction does: %s", (_name, vectoring) => {
    const { guest } = boot();
    guest.exit(ExitReason.EptViolation, { ...EPT_PRESENT, vectoring });
    expect(guest.injected).toBeUndefined();
  });
});
