// The guest's processor has no VMX: Intel SDM 3, 24.6 to 24.8.
import { describe, expect, test } from "vitest";
import { VmxMsr } from "../../../machine/vmx/capabilities.ts";
import { bootIntel, EXCEPTION } from "../vcpu/setup.ts";

const VMX = 1 << 5;
const VMXE = 1n << 13n;
const SMXE = 1n << 14n;
const GENERAL_PROTECTION = { vector: EXCEPTION.generalProtection, error: 0 };
const LOCKED = 1n;

test("CPUID does not have it", () => {
  const { guest, cpuid } = bootIntel();
  expect(cpuid.query(1, 0)[2] & VMX).toBe(VMX);
  expect(guest.cpuid(1)[2] & VMX).toBe(0);
});

describe("its MSRs do not exist:", () => {
  // The last, 491h, is IA32_VMX_VMFUNC's.
  const all = Array.from({ length: 0x12 }, (_, i) => VmxMsr.Basic + i);
  test.each(all)("%i", (index) => {
    const { guest } = bootIntel();
    expect(guest.fault(() => guest.rdmsr(index))).toMatchObject(GENERAL_PROTECTION);
    expect(guest.fault(() => guest.wrmsr(index, 0n))).toMatchObject(GENERAL_PROTECTION);
  });
});

test("the feature control allows nothing, and is locked, whatever the machine's says", () => {
  const { guest, msrs } = bootIntel();
  const real = msrs.read(VmxMsr.FeatureControl);
  expect(real).not.toBe(LOCKED);
  expect(guest.rdmsr(VmxMsr.FeatureControl)).toBe(LOCKED);
  for (const value of [0n, LOCKED, real, 5n])
    expect(guest.fault(() => guest.wrmsr(VmxMsr.FeatureControl, value))).toMatchObject(GENERAL_PROTECTION);
  expect(msrs.read(VmxMsr.FeatureControl)).toBe(real);
});

test.each([
  ["VMXE", VMXE],
  ["SMXE", SMXE],
  ["both", VMXE | SMXE],
])("CR4 does not have %s", (_name, bits) => {
  const { guest } = bootIntel();
  const before = guest.readCr(4);
  expect(before & bits).toBe(0n);
  expect(guest.fault(() => guest.writeCr(4, before | bits))).toMatchObject(GENERAL_PROTECTION);
  expect(guest.processor.rip).toBe(BigInt(guest.code));
  expect(guest.readCr(4)).toBe(before);
});
