// Model-specific registers that only AMD's processors have, or that AMD-V concerns (AMD64 Architecture Programmer's Manual
// volume 2, 3.1.7, 15.30 and appendix A).
import { describe, expect, test } from "vitest";
import type { Machine } from "../../../machine/machine.ts";
import { Msr } from "../../../machine/msrs.ts";
import { Save } from "../../../machine/svm/vmcb.ts";
import { boot, EXCEPTION, svmOf } from "../vcpu/setup.ts";

const SVME = 1n << 12n;
const LMSLE = 1n << 13n;
const { generalProtection } = EXCEPTION;

/** That a write meets #GP(0), and changes nothing. */
function expectRefused({ guest }: Machine, index: number, value: bigint): void {
  const before = guest.rdmsr(index);
  expect(guest.fault(() => guest.wrmsr(index, value))).toMatchObject({ vector: generalProtection, error: 0 });
  expect(guest.rdmsr(index)).toBe(before);
}

describe("EFER", () => {
  test("shows SVME clear and keeps it set", () => {
    const { guest } = boot();
    const before = guest.rdmsr(Msr.Efer);
    expect(before).toBe(0xd01n);
    guest.wrmsr(Msr.Efer, before & ~0x800n);
    expect(guest.rdmsr(Msr.Efer)).toBe(0x501n);
    expect(svmOf(guest).vmcb.get(Save.Efer)).toBe(0x501n | SVME);
  });

  test("has LMSLE unless CPUID 8000_0008 says that it has not", () => {
    const { guest } = boot({ cpu: { leaves: { 0x8000_000a: [1, 16, 0, 1 | (1 << 20)] } } });
    guest.wrmsr(Msr.Efer, 0xd01n | LMSLE);
    expect(guest.rdmsr(Msr.Efer)).toBe(0xd01n | LMSLE);
    expectRefused(boot({ cpu: { leaves: { 0x8000_0008: [0x3028, 1 << 20, 0, 0] } } }), Msr.Efer, 0xd01n | LMSLE);
  });
});

describe("AMD-V's registers", () => {
  test("VM_CR says that AMD-V is off and locked, and keeps that", () => {
    const { guest, msrs } = boot();
    const real = msrs.read(Msr.VmCr);
    expect(guest.rdmsr(Msr.VmCr)).toBe(0x18n);
    guest.wrmsr(Msr.VmCr, 0n);
    expect(guest.rdmsr(Msr.VmCr)).toBe(0x18n);
    expect(msrs.read(Msr.VmCr)).toBe(real);
  });

  test("VM_HSAVE_PA shows nothing of Sheer's page and cannot be moved", () => {
    const machine = boot();
    const real = machine.msrs.read(Msr.VmHsavePa);
    expect(real).toBeGreaterThanOrEqual(BigInt(machine.block.base));
    expect(machine.guest.rdmsr(Msr.VmHsavePa)).toBe(0n);
    expectRefused(machine, Msr.VmHsavePa, 0x10_0000n);
    expect(machine.msrs.read(Msr.VmHsavePa)).toBe(real);
  });
});

test.each([
  ["SMM_BASE", Msr.SmmBase],
  ["SMM_ADDR", Msr.SmmAddr],
  ["SMM_MASK", Msr.SmmMask],
])("%s, which says where SMM's code is, stays as it is, though the firmware has not locked it", (_name, index) => {
  const machine = boot();
  expectRefused(machine, index, 0x10_0000n);
  expect(machine.msrs.read(index)).toBe(0n);
});

test("ECAM cannot be moved, or turned on, by the MSR for it", () => {
  const { guest, msrs } = boot();
  guest.wrmsr(Msr.MmioConfigurationBase, 0xe000_0021n);
  expect(guest.rdmsr(Msr.MmioConfigurationBase)).toBe(0n);
  expect(msrs.read(Msr.MmioConfigurationBase)).toBe(0n);
});

test("HWCR goes straight to the processor", () => {
  const { guest, msrs } = boot();
  guest.wrmsr(Msr.HwCr, 0x0606_0606n);
  expect(msrs.read(Msr.HwCr)).toBe(0x0606_0606n);
  expect(guest.exits("msr")).toBe(0);
});
