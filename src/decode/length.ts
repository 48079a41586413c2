import { physRead16 } from "../metal";
import { Vcpu } from "../vcpu/vcpu";
import { decode } from "./decoder";
import { Operation } from "./opcodes";
import { Outcome } from "./outcome";
import { fetchedCode } from "./place";

/**
 * The length in bytes of the instruction at RIP, for exits that do not tell the next RIP; 0 if it could not be fetched
 * (the guest has the exception pending) or is unknown.
 */
export function instructionLength(vcpu: Vcpu): u32 {
  return decode(vcpu) == Outcome.Done ? vcpu.instruction.length : 0;
}

/**
 * The length where the exit tells that it was a two-byte instruction, first byte in 7:0 of `opcode`, with or without
 * prefixes: a short way for the form without.
 */
export function twoByteLength(vcpu: Vcpu, opcode: u32): u32 {
  const code = fetchedCode(vcpu);
  return code && physRead16(code) == opcode ? 2 : instructionLength(vcpu);
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
