import { ApicMode } from "../../interrupt/apic";
import { apicBase } from "../../interrupt/apic-base";
import { MSR_APIC_BASE, MSR_X2APIC_INTERRUPT_COMMAND, MSR_X2APIC_TASK_PRIORITY } from "../../interrupt/apic-registers";
import { guestSpace } from "../../memory/space";
import { memoryTypes } from "../../memory/types";
import { tryRdmsr, tryWrmsr } from "../../metal";
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
    apicBase.begin(this.bitmaps);
    memoryTypes.interceptBy(this.bitmaps);
    this.bitmaps.interceptWrite(MSR_X2APIC_INTERRUPT_COMMAND);
    this.interceptBoth(MSR_X2APIC_TASK_PRIORITY);
    this.interceptBoth(MSR_FEATURE_CONTROL);
    for (let index: u32 = Capability.Basic; index <= (Capability.LastVmxMsr as u32); index++) this.interceptBoth(index);
  }

  private interceptBoth(index: u32): void {
    this.bitmaps.interceptRead(index);
    this.bitmaps.interceptWrite(index);
  }

  /** False if the guest gets #GP. */
  read(vcpu: VmxVcpu, index: u32): bool {
    if (isVmxMsr(index)) return false;
    let value: u64 = 0;
    switch (index) {
      case MSR_FEATURE_CONTROL:
        value = FEATURES_LOCKED;
        break;
      case MSR_APIC_BASE:
        value = apicBase.read(vcpu);
        break;
      case MSR_X2APIC_TASK_PRIORITY:
        if (vcpu.apic.mode != ApicMode.X2apic) return false;
        value = vcpu.apic.taskPriority;
        break;
      default:
        if (!tryRdmsr(index, vcpu.scratch())) return false;
        value = load<u64>(vcpu.scratch());
    }
    vcpu.registers.rax = value & 0xffff_ffff;
    vcpu.registers.rdx = value >> 32;
    return true;
  }

  /** False if the guest gets #GP. */
  write(vcpu: VmxVcpu, index: u32, value: u64): bool {
    if (isVmxMsr(index)) return false;
    switch (index) {
      case MSR_FEATURE_CONTROL:
        return false;
      case MSR_APIC_BASE:
        return apicBase.write(vcpu, value);
      case MSR_X2APIC_INTERRUPT_COMMAND:
        return vcpu.apic.writeCommand(value);
      case MSR_X2APIC_TASK_PRIORITY:
        if (vcpu.apic.mode != ApicMode.X2apic || value > 0xff) return false;
        vcpu.apic.writeTaskPriority(value as u32);
        return true;
      default:
        if (!tryWrmsr(index, value)) return false;
        if (memoryTypes.has(index)) guestSpace.setMemoryType(index, value);
        return true;
    }
  }
}

function isVmxMsr(index: u32): bool {
  return index >= (Capability.Basic as u32) && index <= (Capability.LastVmxMsr as u32);
}

export const vmxMsrs = new VmxMsrs();
