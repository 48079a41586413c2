import { sharedMsrs } from "../msrs";
import { Capability } from "./capabilities";
import { MsrBitmaps } from "./permissions";
import { VmxVcpu } from "./vcpu";

const MSR_FEATURE_CONTROL: u32 = 0x3a;
/** As firmware leaves it that allows no VMX operation: locked. */
const FEATURES_LOCKED: u64 = 1;

/** The MSRs that cause exits: VMX's own, which the guest does not have, and those with consequences for Sheer. */
class VmxMsrs {
  readonly bitmaps: MsrBitmaps = new MsrBitmaps();

  begin(): void {
    sharedMsrs.begin(this.bitmaps);
    this.bitmaps.interceptBoth(MSR_FEATURE_CONTROL);
    for (let index: u32 = Capability.Basic; index <= (Capability.LastVmxMsr as u32); index++)
      this.bitmaps.interceptBoth(index);
  }

  /** False if the guest gets #GP. */
  read(vcpu: VmxVcpu, index: u32): bool {
    if (isVmxMsr(index)) return false;
    if (index != MSR_FEATURE_CONTROL) return sharedMsrs.read(vcpu, index);
    sharedMsrs.answer(vcpu, FEATURES_LOCKED);
    return true;
  }

  /** False if the guest gets #GP. */
  write(vcpu: VmxVcpu, index: u32, value: u64): bool {
    return !isVmxMsr(index) && index != MSR_FEATURE_CONTROL && sharedMsrs.write(vcpu, index, value);
  }
}

function isVmxMsr(index: u32): bool {
  return index >= (Capability.Basic as u32) && index <= (Capability.LastVmxMsr as u32);
}

export const vmxMsrs = new VmxMsrs();
