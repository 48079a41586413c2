import { Vcpu } from "../vcpu/vcpu";
import { STATUS_FLAGS } from "./arithmetic";
import { MemoryBus } from "./bus";
import { decode } from "./decoder";
import { execute } from "./execute";
import { carryOutPlainMove } from "./fast";
import { OpcodeMap, Operation } from "./opcodes";
import { finish } from "./operands";
import { Outcome } from "./outcome";
import { fetchedCode } from "./place";

export { GuestBus, MemoryBus } from "./bus";
export { Outcome } from "./outcome";

/**
 * Carries out the guest's instruction at RIP, each memory access through `bus`. Done if it was: RIP is at the next
 * instruction. After Faulted and Unfinished the guest is entered as it is; after Unknown it gets #UD from the caller.
 * A single-step trap (RFLAGS.TF) and the end of an interrupt shadow are the caller's, as with every exit.
 */
export function carryOut(vcpu: Vcpu, bus: MemoryBus): Outcome {
  const outcome = decode(vcpu);
  return outcome == Outcome.Done ? execute(vcpu, bus) : outcome;
}

/** The same for an exit by a port, INS or OUTS, for which the processor has checked the guest's right to it. */
export function carryOutPort(vcpu: Vcpu, bus: MemoryBus): Outcome {
  vcpu.instruction.portChecked = true;
  const outcome = carryOut(vcpu, bus);
  vcpu.instruction.portChecked = false;
  return outcome;
}

/** The same for an access that stopped at a known guest-physical address, with a short way for plain MOVs. */
export function carryOutAt(vcpu: Vcpu, bus: MemoryBus, faultAddress: u64): Outcome {
  const code = fetchedCode(vcpu);
  if (code && carryOutPlainMove(vcpu.registers, code, bus, faultAddress)) return Outcome.Done;
  vcpu.instruction.portChecked = false; // a trap may have left it
  return carryOut(vcpu, bus);
}

/**
 * After Unknown for a write that is to be dropped: goes past the instruction if it is one that stores and does nothing
 * else, as FXSAVE, STMXCSR, SGDT or MOVNTQ do. All that write memory in the longer opcode maps are.
 */
export function skipStore(vcpu: Vcpu): bool {
  const instruction = vcpu.instruction;
  const longMap = instruction.opcode >= (OpcodeMap.Two as u32);
  if (instruction.operation != Operation.Other || !instruction.inMemory || !longMap) return false;
  instruction.flags = (vcpu.registers.rflags as u32) & STATUS_FLAGS;
  finish(vcpu, instruction);
  return true;
}
