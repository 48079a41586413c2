import { physRead16 } from "../metal";
import { Vcpu } from "../vcpu/vcpu";

/** Where code that caused an exit was found last: the same place in a guest causes most exits of a kind. */
export class CodePlace {
  private rip: u64 = 0;
  private cr3: u64 = 0;
  private physical: u64 = 0;

  note(vcpu: Vcpu, physical: u64): void {
    this.rip = vcpu.registers.rip;
    this.cr3 = vcpu.cr3();
    this.physical = physical;
  }

  /**
   * Whether the two-byte instruction `opcode` still lies where it was found. Should the guest have mapped other memory
   * there since, what is found is still this instruction or none.
   */
  @inline holds(vcpu: Vcpu, opcode: u32): bool {
    return this.rip == vcpu.registers.rip && this.cr3 == vcpu.cr3() && physRead16(this.physical) == opcode;
  }
}
