import { log } from "../log/log";
import { guestMemory } from "../memory/guest";
import { cpuid, rdmsr, wrmsr } from "../metal";
import { Vcpu } from "../vcpu/vcpu";
import { APIC_BASE_ENABLED, APIC_BASE_X2APIC, MSR_APIC_BASE } from "./apic";

/** Bits of the APIC base that are reserved on every processor (AMD APM 2, 16.3.1). */
const RESERVED: u64 = 0x2ff;
const X2APIC_FEATURE: u32 = 1 << 21;

/** The guest's hold on the MSR by which local APICs are moved, disabled and put into x2APIC mode. */
class ApicBase {
  private refused: u32 = 0;

  /**
   * The guest's write; false if it gets #GP. It may turn x2APIC mode on. Otherwise the local APIC stays where it is and
   * as it is: Sheer's hook lies there, Sheer needs it to reach other processors, and some processors cannot enable it
   * again.
   */
  write(vcpu: Vcpu, value: u64): bool {
    if (value & (RESERVED | (hasX2apic(vcpu) ? 0 : APIC_BASE_X2APIC)) || !guestMemory.isAddress(value)) return false;
    const old = rdmsr(MSR_APIC_BASE);
    const enabled = (value & APIC_BASE_ENABLED) != 0;
    const x2apic = (value & APIC_BASE_X2APIC) != 0;
    // x2APIC mode is entered from the enabled and left to the disabled state only (AMD APM 2, 16.10; Intel SDM 3, 10.12.5).
    if (x2apic && !enabled) return false;
    if (vcpu.apic.x2apic && enabled && !x2apic) return false;
    if (x2apic && value == (old | APIC_BASE_X2APIC)) {
      wrmsr(MSR_APIC_BASE, value);
      vcpu.apic.noteMode();
      return true;
    }
    if (value != old && !this.refused++) log.warn("the guest's new APIC base ").hex(value).text(" is ignored").end();
    return true;
  }
}

export const apicBase = new ApicBase();

function hasX2apic(vcpu: Vcpu): bool {
  cpuid(1, 0, vcpu.scratch());
  return (load<u32>(vcpu.scratch(), 8) & X2APIC_FEATURE) != 0;
}
