import { log } from "../../log/log";
import { cpuid, rdmsr, vmread } from "../../metal";
import { Capability } from "./capabilities";
import { instructionErrorText } from "./errors";
import { guestFieldName } from "./field-names";
import { GuestState } from "./guest-state";
import { FieldReader, StateLimits } from "./state-rules";
import { Field } from "./vmcs";

class CurrentVmcs extends FieldReader {
  read(field: Field): u64 {
    return vmread(field);
  }
}

const LEVELS_5: u32 = 1 << 16;

/** Says why the guest could not be entered. */
class EntryFailures {
  private readonly fields: CurrentVmcs = new CurrentVmcs();
  private readonly limits: StateLimits = new StateLimits();
  private readonly state: GuestState = new GuestState(this.fields, this.limits);

  /** What the rules depend on in this processor (Intel SDM 3, appendix A). */
  begin(): void {
    const limits = this.limits;
    limits.cr0Fixed0 = rdmsr(Capability.Cr0Fixed0);
    limits.cr0Fixed1 = rdmsr(Capability.Cr0Fixed1);
    limits.cr4Fixed0 = rdmsr(Capability.Cr4Fixed0);
    limits.cr4Fixed1 = rdmsr(Capability.Cr4Fixed1);
    limits.activityStates = ((rdmsr(Capability.Misc) >> 6) & 7) as u32;
    const registers = memory.data(32, 8);
    cpuid(0x8000_0008, 0, registers);
    limits.physicalBits = (load<u32>(registers) & 0xff) as u64;
    cpuid(7, 0, registers);
    limits.linearBits = load<u32>(registers, 8) & LEVELS_5 ? 57 : 48;
    limits.efer = 0xd01; // NXE, LMA, LME, SCE
  }

  /** VMLAUNCH or VMRESUME failed: says why. */
  explainInstruction(): void {
    const number = vmread(Field.InstructionError) as u32;
    log.error("the guest cannot be entered: ").text(instructionErrorText(number)).end();
  }

  /** The processor refused the guest's state, for an exit reason with ENTRY_FAILED: names the field that breaks a rule. */
  explainState(reason: u32): void {
    log.error("the guest cannot be entered, reason ").dec(reason & 0xffff);
    if (!this.state.holds()) {
      const finding = this.state.finding;
      log.text(": ").text(guestFieldName(finding.field)).text(": ").text(finding.rule);
    }
    log.end();
  }
}

export const entryFailures = new EntryFailures();
