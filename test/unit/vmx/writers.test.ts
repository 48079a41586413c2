// What Intel's processors write to memory by themselves, at physical addresses past the extended page tables or at linear
// ones of whoever runs then: Intel Processor Trace (SDM 3, chapter 33), PEBS and the debug store (SDM 3, 19.9 and 20.6.2),
// the hardware feedback interface (SDM 3, 15.6). The guest, which could aim them at Sheer's block, has none of them.
import { expect, test } from "vitest";
import type { CpuidResult } from "../../../machine/cpuid.ts";
import { Msr } from "../../../machine/msrs.ts";
import { bootIntel, EXCEPTION } from "../vcpu/setup.ts";

const ALL: CpuidResult = [0xffff_ffff, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff];
const DTES64 = 1 << 2;
const DS_CPL = 1 << 4;
const DS = 1 << 21;
const PROCESSOR_TRACE = 1 << 25;
const HARDWARE_FEEDBACK = 1 << 19;
const THREAD_DIRECTOR = 1 << 23;

test("CPUID does not have them, and has what is beside them", () => {
  const vmx = 1 << 5;
  const { guest } = bootIntel({
    cpu: { leaves: { 1: [0x306c3, 0x800, 0xf7ff_ffff | vmx, 0xffff_ffff], 6: ALL, 7: ALL, 0x14: ALL } },
  });
  const [, , ecx, edx] = guest.cpuid(1);
  expect(ecx & (DTES64 | DS_CPL)).toBe(0);
  expect(ecx & 0b1011).toBe(0b1011);
  expect(edx >>> 0).toBe((0xffff_ffff & ~DS) >>> 0);
  expect(guest.cpuid(6)).toEqual([(0xffff_ffff & ~(HARDWARE_FEEDBACK | THREAD_DIRECTOR)) >>> 0, ...ALL.slice(1)]);
  expect(guest.cpuid(7)[1]).toBe((0xffff_ffff & ~PROCESSOR_TRACE) >>> 0);
  expect(guest.cpuid(0x14)).toEqual([0, 0, 0, 0]);
});

test.each([
  ["IA32_PEBS_ENABLE", Msr.PebsEnable],
  ["IA32_RTIT_OUTPUT_BASE", Msr.RtitOutputBase],
  ["IA32_RTIT_OUTPUT_MASK_PTRS", Msr.RtitOutputMaskPtrs],
  ["IA32_RTIT_CTL", Msr.RtitCtl],
  ["IA32_DS_AREA", Msr.DsArea],
  ["IA32_HW_FEEDBACK_PTR", Msr.HwFeedbackPtr],
  ["IA32_HW_FEEDBACK_CONFIG", Msr.HwFeedbackConfig],
])("%s does not exist", (_name, index) => {
  const { guest, msrs, block } = bootIntel();
  const refused = { vector: EXCEPTION.generalProtection, error: 0 };
  expect(guest.fault(() => guest.rdmsr(index))).toMatchObject(refused);
  expect(guest.fault(() => guest.wrmsr(index, BigInt(block.base)))).toMatchObject(refused);
  expect(msrs.read(index)).toBe(0n);
});
