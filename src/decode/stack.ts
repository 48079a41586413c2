import { Access } from "../memory/translate";
import { Gpr, Segment, Vcpu } from "../vcpu/vcpu";
import { Attribute, resolve } from "./address";
import { MemoryBus } from "./bus";
import { Instruction, truncate } from "./instruction";
import { Form } from "./opcodes";
import { addToAddressRegister, finish, prepare, readE, writeE } from "./operands";
import { Outcome } from "./outcome";

// PUSH and POP of a memory operand, a general register or (PUSH) an immediate.

export function push(vcpu: Vcpu, bus: MemoryBus, instruction: Instruction): Outcome {
  const registers = vcpu.registers;
  const width = instruction.operandSize;
  const size = stackSize(vcpu, instruction);
  const top = truncate(registers.rsp - (width as u64), size);
  if (!prepare(vcpu, instruction, width, Access.Read)) return Outcome.Faulted;
  if (!resolve(vcpu, instruction.other, Segment.Ss, top, width, Access.Write)) return Outcome.Faulted;
  const immediate = instruction.form == Form.AI;
  const value = immediate ? truncate(instruction.immediate, width) : readE(vcpu, bus, instruction, width);
  instruction.other.write(bus, value);
  addToAddressRegister(registers, Gpr.Rsp, size, -(width as u64));
  return finish(vcpu, instruction);
}

export function pop(vcpu: Vcpu, bus: MemoryBus, instruction: Instruction): Outcome {
  const registers = vcpu.registers;
  const width = instruction.operandSize;
  const size = stackSize(vcpu, instruction);
  const top = truncate(registers.rsp, size);
  if (!resolve(vcpu, instruction.other, Segment.Ss, top, width, Access.Read)) return Outcome.Faulted;
  // An address based on rSP counts from where POP leaves it (APM 3, POP).
  if (instruction.base == Gpr.Rsp) instruction.displacement += width as u64;
  if (!prepare(vcpu, instruction, width, Access.Write)) return Outcome.Faulted;
  const value = instruction.other.read(bus);
  addToAddressRegister(registers, Gpr.Rsp, size, width as u64);
  writeE(vcpu, bus, instruction, width, value);
  return finish(vcpu, instruction);
}

/** Bytes of rSP that count: all in 64-bit mode, else by SS.B (APM 2, 4.7.3). */
function stackSize(vcpu: Vcpu, instruction: Instruction): u32 {
  if (instruction.codeBits == 64) return 8;
  return vcpu.segmentAttributes(Segment.Ss) & Attribute.Big ? 4 : 2;
}
