import { sharedMsrs } from "../msrs";
import { Capability } from "./capabilities";
import { MsrBitmaps } from "./permissions";
import { VmxVcpu } from "./vcpu";

const MSR_FEATURE_CONTROL: u32 = 0x3a;
/** As firmware leaves it that allows no VMX operation: locked. */
const FEATURES_LOCKED: u64 = 1;

/**
 * By these the processor is told to write to memory by itself: past the extended page tables, or at linear addresses while
 * Sheer runs. The guest has none of what they are for (cpuid.ts): PEBS, Intel Processor Trace, the debug store, the hardware
 * feedback interface (Intel SDM 4, table 2-2).
 */
const FIRST_WRITERS: StaticArray<u32> = [0x3f1, 0x560, 0x600, 0x17d0];
const LAST_WRITERS: StaticArray<u32> = [0x3f2, 0x587, 0x600, 0x17d4];

/** The MSRs that cause exits: VMX's own, which the guest does not have, and those with consequences for Sheer. */
class VmxMsrs {
  readonly bitmaps: MsrBitmaps = new MsrBitmaps();

  begin(): void {
    sharedMsrs.begin(this.bitmaps);
    this.bitmaps.interceptBoth(MSR_FEATURE_CONTROL);
    for (let index: u32 = Capability.Basic; index <= (Capability.LastVmxMsr as u32); index++)
      this.bitmaps.interceptBoth(index);
    for (let i = 0; i < FIRST_WRITERS.length; i++)
      for (let index = FIRST_WRITERS[i]; index <= LAST_WRITERS[i]; index++) this.bitmaps.interceptBoth(index);
  }

  /** False if the guest gets #GP. */
  read(vcpu: VmxVcpu, index: u32): bool {
    if (isVmxMsr(index) || isWriter(index)) return false;
    if (index != MSR_FEATURE_CONTROL) return sharedMsrs.read(vcpu, index);
    sharedMsrs.answer(vcpu, FEATURES_LOCKED);
    return true;
  }

  /** False if the guest gets #GP. */
  write(vcpu: VmxVcpu, index: u32, value: u64): bool {
    if (isVmxMsr(index) || isWriter(index)) return false;
    return index != MSR_FEATURE_CONTROL && sharedMsrs.write(vcpu, index, value);
  }
}

function isVmxMsr(index: u32): bool {
  return index >= (Capability.Basic as u32) && index <= (Capability.LastVmxMsr as u32);
}

function isWriter(index: u32): bool {
  for (let i = 0; i < FIRST_WRITERS.length; i++)
    if (index >= unchecked(FIRST_WRITERS[i]) && index <= unchecked(LAST_WRITERS[i])) return true;
  return false;
}

export const vmxMsrs = new VmxMsrs();
