import { guestMemory } from "../memory/guest";
import { translateFetched } from "../memory/translate";
import { physRead16 } from "../metal";
import { Vcpu } from "../vcpu/vcpu";
import { decode } from "./decoder";
import { Operation } from "./opcodes";
import { Outcome } from "./outcome";

/**
 * The length in bytes of the instruction at RIP, for exits that do not tell the next RIP; 0 if it could not be fetched
 * (the guest has the exception pending) or is unknown.
 */
export function instructionLength(vcpu: Vcpu): u32 {
  return decode(vcpu) == Outcome.Done ? vcpu.instruction.length : 0;
}

/** Where code that caused an exit was found last: the same place in a guest causes most exits of a kind. */
@unmanaged
class CodePlace {
  rip: u64;
  cr3: u64;
  physical: u64;

  /**
   * Whether the two-byte instruction `opcode` still lies where it was found. Should the guest have mapped other memory
   * there since, what is found is still this instruction or none.
   */
  @inline holds(vcpu: Vcpu, opcode: u32): bool {
    return this.rip == vcpu.registers.rip && this.cr3 == vcpu.cr3() && physRead16(this.physical) == opcode;
  }
}
export const lastPlace = changetype<CodePlace>(memory.data(24, 8));

/**
 * The length where the exit tells that it was a two-byte instruction, first byte in 7:0 of `opcode`, with or without
 * prefixes: a short way for the form without.
 */
export function twoByteLength(vcpu: Vcpu, opcode: u32): u32 {
  const rip = vcpu.registers.rip;
  if (vcpu.codeBits() == 64 && (rip & 0xfff) != 0xfff) {
    const code = translateFetched(vcpu, rip);
    if (code && guestMemory.permits(code, 2) && physRead16(code) == opcode) {
      lastPlace.rip = rip;
      lastPlace.cr3 = vcpu.cr3();
      lastPlace.physical = code;
      return 2;
    }
  }
  return instructionLength(vcpu);
}

/** After `instructionLength` of a MOV to or from a control or debug register: whether it is one. */
export function isControlMove(vcpu: Vcpu): bool {
  return vcpu.instruction.operation == Operation.MoveControl;
}

/** The control or debug register of that MOV. LOCK makes CR0 CR8, as AMD's processors have it (APM 3, MOV CRn). */
export function controlRegister(vcpu: Vcpu): u32 {
  const instruction = vcpu.instruction;
  return instruction.lock ? instruction.reg | 8 : instruction.reg;
}

/** Its general register. */
export function controlMoveOperand(vcpu: Vcpu): u32 {
  return vcpu.instruction.rm;
}
