import { cpuid, physOf, rdmsr, vmxon, wrmsr } from "../../metal";
import { takePages } from "../../memory/frames";
import { Capability, controls, EptCapability, revision, supported } from "./capabilities";
import { EntryControl, ExitControl, ProcessorBased, Secondary } from "./vmcs";

const MSR_FEATURE_CONTROL: u32 = 0x3a;
/** IA32_FEATURE_CONTROL (Intel SDM 3, 24.7): it cannot be changed any more; VMXON outside SMX works. */
const LOCKED: u64 = 1 << 0;
const VMX_ENABLED: u64 = 1 << 2;
const VMX_FEATURE: u32 = 1 << 5;

/** Why this processor cannot run a guest by VT-x. */
export const enum VmxSupport {
  Ready,
  Absent,
  DisabledByFirmware,
  NoExtendedPageTables,
  NoUnrestrictedGuest,
  /** Every MOV to or from CR3 would exit. */
  NoTrueControls,
  /** IA32_EFER and IA32_PAT would stay the host's, or the guest's. */
  NoSwitchedMsrs,
}

/** Asks the processor (Intel SDM 3, 24.6 and appendix A). */
export function vmxSupport(): VmxSupport {
  const registers = memory.data(32, 8);
  cpuid(1, 0, registers);
  if (!(load<u32>(registers, 8) & VMX_FEATURE)) return VmxSupport.Absent;
  const control = rdmsr(MSR_FEATURE_CONTROL);
  if (control & LOCKED && !(control & VMX_ENABLED)) return VmxSupport.DisabledByFirmware;
  if (!supported(Capability.Primary, ProcessorBased.ActivateSecondaryControls)) return VmxSupport.NoExtendedPageTables;
  if (!supported(Capability.Secondary, Secondary.EnableEpt)) return VmxSupport.NoExtendedPageTables;
  const needed = EptCapability.WALK_4 | EptCapability.WRITE_BACK | EptCapability.PAGES_2M | EptCapability.INVEPT;
  if ((rdmsr(Capability.EptVpid) & needed) != needed) return VmxSupport.NoExtendedPageTables;
  if (!supported(Capability.Secondary, Secondary.UnrestrictedGuest)) return VmxSupport.NoUnrestrictedGuest;
  if (controls(Capability.Primary, 0) & (ProcessorBased.Cr3LoadExiting | ProcessorBased.Cr3StoreExiting))
    return VmxSupport.NoTrueControls;
  return switchesMsrs() ? VmxSupport.Ready : VmxSupport.NoSwitchedMsrs;
}

/** Whether entries and exits can give guest and host an IA32_EFER and an IA32_PAT each: else their fields do not exist. */
function switchesMsrs(): bool {
  const entry: u32 = EntryControl.LoadEfer | EntryControl.LoadPat;
  const exit: u32 = ExitControl.SaveEfer | ExitControl.LoadEfer | ExitControl.SavePat | ExitControl.LoadPat;
  return supported(Capability.Entry, entry) == entry && supported(Capability.Exit, exit) == exit;
}

/** Enters VMX operation; where the firmware has left that open, it is allowed first, for good. False if VMXON failed. */
export function enableVmx(): bool {
  if (!(rdmsr(MSR_FEATURE_CONTROL) & LOCKED)) wrmsr(MSR_FEATURE_CONTROL, LOCKED | VMX_ENABLED);
  const region = takePages(1);
  store<u32>(region, revision());
  return vmxon(physOf(region));
}
