import { ApicMode } from "../interrupt/apic";
import { apicBase } from "../interrupt/apic-base";
import { MSR_APIC_BASE, MSR_X2APIC_INTERRUPT_COMMAND, MSR_X2APIC_TASK_PRIORITY } from "../interrupt/apic-registers";
import { guestSpace } from "../memory/space";
import { memoryTypes } from "../memory/types";
import { tryRdmsr, tryWrmsr } from "../metal";
import { MsrIntercepts } from "./msr-intercepts";
import { Vcpu } from "./vcpu";

/** The MSRs that cause exits on the processors of all vendors, because they have consequences for Sheer. */
class SharedMsrs {
  begin(intercepts: MsrIntercepts): void {
    apicBase.begin(intercepts);
    memoryTypes.interceptBy(intercepts);
    intercepts.interceptWrite(MSR_X2APIC_INTERRUPT_COMMAND);
    intercepts.interceptBoth(MSR_X2APIC_TASK_PRIORITY);
  }

  /** The guest's read of one of these or of any that is the processor's own; false if it gets #GP. */
  read(vcpu: Vcpu, index: u32): bool {
    switch (index) {
      case MSR_APIC_BASE:
        this.answer(vcpu, apicBase.read(vcpu));
        return true;
      case MSR_X2APIC_TASK_PRIORITY:
        if (vcpu.apic.mode != ApicMode.X2apic) return false;
        this.answer(vcpu, vcpu.apic.taskPriority);
        return true;
      default: {
        const result = vcpu.scratch();
        if (!tryRdmsr(index, result)) return false;
        this.answer(vcpu, load<u64>(result));
        return true;
      }
    }
  }

  /** What RDMSR gives. */
  answer(vcpu: Vcpu, value: u64): void {
    vcpu.registers.rax = value & 0xffff_ffff;
    vcpu.registers.rdx = value >> 32;
  }

  /** The guest's write, as above. */
  write(vcpu: Vcpu, index: u32, value: u64): bool {
    switch (index) {
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

export const sharedMsrs = new SharedMsrs();
