import { cpuid, physOf, rdmsr, wrmsr } from "../../metal";
import { takePages } from "../../memory/frames";

const MSR_EFER: u32 = 0xc000_0080;
const MSR_VM_CR: u32 = 0xc001_0114;
const MSR_VM_HSAVE_PA: u32 = 0xc001_0117;
const EFER_SVME: u64 = 1 << 12;
const VM_CR_SVMDIS: u64 = 1 << 4;

/** Why this processor cannot run a guest by AMD-V. */
export const enum SvmSupport {
  Ready,
  Absent,
  DisabledByFirmware,
  NoNestedPaging,
}

/** Asks the processor (AMD APM 2, 15.4). */
export function svmSupport(): SvmSupport {
  const registers = memory.data(32, 8);
  cpuid(0x8000_0000, 0, registers);
  if (load<u32>(registers) < 0x8000_000a) return SvmSupport.Absent;
  cpuid(0x8000_0001, 0, registers);
  if (!(load<u32>(registers, 8) & (1 << 2))) return SvmSupport.Absent;
  if (rdmsr(MSR_VM_CR) & VM_CR_SVMDIS) return SvmSupport.DisabledByFirmware;
  cpuid(0x8000_000a, 0, registers);
  return load<u32>(registers, 16) & 1 ? SvmSupport.Ready : SvmSupport.NoNestedPaging;
}

/** Turns SVM on and gives VMRUN its page for the host's state (AMD APM 2, 15.30.4). */
export function enableSvm(): void {
  wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
  wrmsr(MSR_VM_HSAVE_PA, physOf(takePages(1)));
}
