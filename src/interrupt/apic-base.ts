import { log } from "../log/log";
import { guestMemory } from "../memory/guest";
import { cpuid, rdmsr } from "../metal";
import { MsrIntercepts } from "../vcpu/msr-intercepts";
import { Vcpu } from "../vcpu/vcpu";
import { ApicMode } from "./apic";
import { APIC_BASE_ENABLED, APIC_BASE_X2APIC, MSR_APIC_BASE } from "./apic-registers";

/** Bits of the APIC base that are reserved on every processor (AMD APM 2, 16.3.1). */
const RESERVED: u64 = 0x2ff;
const MODE: u64 = APIC_BASE_ENABLED | APIC_BASE_X2APIC;
const X2APIC_FEATURE: u32 = 1 << 21;

/** The guest's hold on the MSR by which local APICs are moved, disabled and put into x2APIC mode. */
class ApicBase {
  private refused: u32 = 0;
  private intercepts: MsrIntercepts | null = null;

  /** Reads go to the processor, firmware has one at every timer tick, until a guest's mode is not the processor's. */
  begin(intercepts: MsrIntercepts): void {
    this.intercepts = intercepts;
    intercepts.interceptWrite(MSR_APIC_BASE);
  }

  read(vcpu: Vcpu): u64 {
    return (rdmsr(MSR_APIC_BASE) & ~MODE) | bitsOf(vcpu.apic.mode);
  }

  /**
   * The guest's write; false if it gets #GP. It may change the mode, by the steps that the processor allows: x2APIC mode is
   * entered from the enabled and left to the disabled state only (AMD APM 2, 16.10; Intel SDM 3, 10.12.5). The local APIC
   * stays where it is: Sheer's hook lies there.
   */
  write(vcpu: Vcpu, value: u64): bool {
    if (value & (RESERVED | (hasX2apic(vcpu) ? 0 : APIC_BASE_X2APIC)) || !guestMemory.isAddress(value)) return false;
    const apic = vcpu.apic;
    const old = apic.mode;
    const mode = modeOf(value);
    if (mode == ApicMode.Illegal) return false;
    if (old == ApicMode.X2apic && mode == ApicMode.Xapic) return false;
    if (old == ApicMode.Disabled && mode == ApicMode.X2apic) return false;
    if ((value ^ this.read(vcpu)) & ~MODE && !this.refused++)
      log.warn("the guest's new APIC base ").hex(value).text(" is ignored").end();
    if (mode == old) return true;
    if (mode == ApicMode.Disabled) this.disable(vcpu);
    else if (mode == ApicMode.X2apic) apic.enterX2apic();
    else if (apic.enable()) vcpu.missedNmis();
    return true;
  }

  private disable(vcpu: Vcpu): void {
    const intercepts = this.intercepts;
    if (intercepts) intercepts.interceptRead(MSR_APIC_BASE);
    vcpu.apic.disable(vcpu.index == 0);
  }
}

export const apicBase = new ApicBase();

function modeOf(value: u64): ApicMode {
  if (value & APIC_BASE_ENABLED) return value & APIC_BASE_X2APIC ? ApicMode.X2apic : ApicMode.Xapic;
  return value & APIC_BASE_X2APIC ? ApicMode.Illegal : ApicMode.Disabled;
}

function bitsOf(mode: ApicMode): u64 {
  if (mode == ApicMode.Disabled) return 0;
  return mode == ApicMode.X2apic ? MODE : APIC_BASE_ENABLED;
}

function hasX2apic(vcpu: Vcpu): bool {
  cpuid(1, 0, vcpu.scratch());
  return (load<u32>(vcpu.scratch(), 8) & X2APIC_FEATURE) != 0;
}
