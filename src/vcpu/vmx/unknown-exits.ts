import { log } from "../../log/log";
import { vmread } from "../../metal";
import { ExitReason } from "./exit-reasons";
import { VmxVcpu } from "./vcpu";
import { Field } from "./vmcs";

/** Basic exit reasons have 16 bits; those up to here are told apart. */
const REASONS: u32 = 128;

/** Exits that Sheer has no answer to: each reason is logged when it first comes, with all that the processor notes of it. */
class UnknownExits {
  private readonly known: StaticArray<bool> = new StaticArray<bool>(REASONS);

  report(vcpu: VmxVcpu, reason: u32): void {
    const slot = min(reason, REASONS - 1);
    if (unchecked(this.known[slot])) return;
    unchecked((this.known[slot] = true));
    log.warn(reason == ExitReason.TaskSwitch ? "a task switch, reason " : "an exit of unknown reason ").dec(reason);
    tell(", qualification ", Field.ExitQualification);
    tell(", guest-linear address ", Field.GuestLinearAddress);
    tell(", guest-physical address ", Field.GuestPhysicalAddress);
    tell(", interruption information ", Field.ExitInterruptionInformation);
    tell(" and error code ", Field.ExitInterruptionErrorCode);
    tell(", IDT-vectoring information ", Field.IdtVectoringInformation);
    tell(" and error code ", Field.IdtVectoringErrorCode);
    tell(", instruction length ", Field.ExitInstructionLength);
    tell(" and information ", Field.ExitInstructionInformation);
    tell(", at ", Field.GuestCsSelector);
    log.text(":").hex(vcpu.registers.rip);
    tell(", CR0 ", Field.GuestCr0);
    tell(", interruptibility ", Field.GuestInterruptibility);
    tell(", activity ", Field.GuestActivityState);
    log.end();
  }
}

function tell(name: string, field: Field): void {
  log.text(name).hex(vmread(field));
}

export const unknownExits = new UnknownExits();
