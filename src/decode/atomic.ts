import { Access } from "../memory/translate";
import { Exception, Gpr, Rflags, Vcpu } from "../vcpu/vcpu";
import { compute } from "./arithmetic";
import { MemoryBus } from "./bus";
import { Instruction, signExtend, truncate } from "./instruction";
import { Form, Operation } from "./opcodes";
import { finish, prepare, readE, readG, writeE, writeG, writeRegister } from "./operands";
import { Outcome } from "./outcome";

// The operations that software locks are made of. On plain memory next to a hook they are not atomic against other
// processors: a read and a write go to the bus one after the other.

/** XCHG, XADD and CMPXCHG. */
export function exchange(vcpu: Vcpu, bus: MemoryBus, instruction: Instruction): Outcome {
  const width = instruction.width;
  const operation = instruction.operation;
  if (!prepare(vcpu, instruction, width, Access.Write)) return Outcome.Faulted;
  const value = readE(vcpu, bus, instruction, width);
  const source = readG(vcpu, instruction, width);
  if (operation == Operation.Cmpxchg) {
    const registers = vcpu.registers;
    compute(instruction, Operation.Cmp, truncate(registers.rax, width), value, width);
    const equal = (instruction.flags & Rflags.Zf) != 0;
    // Memory is written in any case (APM 3, CMPXCHG); a register keeps its upper half.
    if (equal || instruction.inMemory) writeE(vcpu, bus, instruction, width, equal ? source : value);
    if (!equal) writeRegister(registers, Gpr.Rax, width, 1, value);
  } else {
    const result = operation == Operation.Xadd ? compute(instruction, operation, value, source, width) : source;
    writeG(vcpu, instruction, width, value);
    writeE(vcpu, bus, instruction, width, result);
  }
  return finish(vcpu, instruction);
}

/** CMPXCHG8B, and CMPXCHG16B with REX.W. */
export function compareAndExchangePair(vcpu: Vcpu, bus: MemoryBus, instruction: Instruction): Outcome {
  const registers = vcpu.registers;
  const memory = instruction.memory;
  const half: u32 = instruction.operandSize == 8 ? 8 : 4;
  if (!prepare(vcpu, instruction, half << 1, Access.Write)) return Outcome.Faulted;
  if (half == 8 && memory.first & 15) {
    vcpu.raiseWithError(Exception.GeneralProtection, 0);
    return Outcome.Faulted;
  }
  let low = memory.readPart(bus, 0, 8);
  let high = half == 8 ? memory.readPart(bus, 8, 8) : low >> 32;
  low = truncate(low, half);
  const equal = low == truncate(registers.rax, half) && high == truncate(registers.rdx, half);
  if (equal) {
    low = truncate(registers.rbx, half);
    high = truncate(registers.rcx, half);
  } else {
    writeRegister(registers, Gpr.Rax, half, 1, low);
    writeRegister(registers, Gpr.Rdx, half, 1, high);
  }
  memory.writePart(bus, 0, 8, half == 8 ? low : low | (high << 32));
  if (half == 8) memory.writePart(bus, 8, 8, high);
  instruction.flags = (instruction.flags & ~Rflags.Zf) | (equal ? Rflags.Zf : 0);
  return finish(vcpu, instruction);
}

/**
 * BT, BTS, BTR and BTC. With its bit number in a register, a memory operand is a string of bits that reaches to both
 * sides of its address; the number is signed and the operand that holds the bit is accessed (APM 3, BT).
 */
export function testBit(vcpu: Vcpu, bus: MemoryBus, instruction: Instruction): Outcome {
  const width = instruction.width;
  const operation = instruction.operation;
  const bits = (width << 3) as u64;
  let number = instruction.immediate;
  if (instruction.form == Form.EG) {
    number = signExtend(readG(vcpu, instruction, width), width);
    // An arithmetic shift by 4, 5 or 6 counts operands, then bytes.
    instruction.displacement += (((number as i64) >> (ctz(bits) as i64)) as u64) * (width as u64);
  }
  if (!prepare(vcpu, instruction, width, operation == Operation.Bt ? Access.Read : Access.Write)) {
    return Outcome.Faulted;
  }
  const value = readE(vcpu, bus, instruction, width);
  const mask = (1 as u64) << (number & (bits - 1));
  const carry = value & mask ? Rflags.Cf : 0;
  if (operation == Operation.Bts) writeE(vcpu, bus, instruction, width, value | mask);
  else if (operation == Operation.Btr) writeE(vcpu, bus, instruction, width, value & ~mask);
  else if (operation == Operation.Btc) writeE(vcpu, bus, instruction, width, value ^ mask);
  instruction.flags = (instruction.flags & ~Rflags.Cf) | carry;
  return finish(vcpu, instruction);
}
