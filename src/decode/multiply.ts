import { Access } from "../memory/translate";
import { Exception, Gpr, Rflags, Vcpu } from "../vcpu/vcpu";
import { MemoryBus } from "./bus";
import { Instruction, signExtend, truncate } from "./instruction";
import { Operation } from "./opcodes";
import { finish, prepare, readE, readG, readRegister, writeG, writeRegister } from "./operands";
import { Outcome } from "./outcome";

// Multiplication and division (APM 3, chapter 3). Flags that the manual leaves undefined stay as they are.

/** IMUL with two operands or three, and MUL and IMUL of rAX into rDX:rAX or, of AL, into AX. */
export function multiply(vcpu: Vcpu, bus: MemoryBus, instruction: Instruction): Outcome {
  const width = instruction.width;
  const operation = instruction.operation;
  const signed = operation != Operation.Mul;
  if (!prepare(vcpu, instruction, width, Access.Read)) return Outcome.Faulted;
  let left = readE(vcpu, bus, instruction, width);
  let right = instruction.immediate;
  if (operation != Operation.Imul) right = readRegister(vcpu.registers, Gpr.Rax, width, 1);
  else if (instruction.opcode == TWO_OPERANDS) right = readG(vcpu, instruction, width);
  if (signed) {
    left = signExtend(left, width);
    right = signExtend(right, width);
  }
  const low = left * right;
  let high = highProduct(left, right);
  if (signed) high -= ((left as i64) < 0 ? right : 0) + ((right as i64) < 0 ? left : 0);
  const extended = signed ? signExtend(low, width) : truncate(low, width);
  const fits = low == extended && high == (signed && (extended as i64) < 0 ? ~(0 as u64) : 0);
  instruction.flags = (instruction.flags & ~(Rflags.Cf | Rflags.Of)) | (fits ? 0 : Rflags.Cf | Rflags.Of);
  if (operation == Operation.Imul) writeG(vcpu, instruction, width, low);
  else writePair(vcpu, width, low, width == 8 ? high : low >> ((width << 3) as u64));
  return finish(vcpu, instruction);
}

/** IMUL of a register by the r/m operand, without an immediate. */
const TWO_OPERANDS: u32 = 0x0faf;

/** DIV and IDIV of rDX:rAX or AX. */
export function divide(vcpu: Vcpu, bus: MemoryBus, instruction: Instruction): Outcome {
  const registers = vcpu.registers;
  const width = instruction.width;
  const signed = instruction.operation == Operation.Idiv;
  if (!prepare(vcpu, instruction, width, Access.Read)) return Outcome.Faulted;
  let divisor = readE(vcpu, bus, instruction, width);
  let low = width == 1 ? registers.rax & 0xffff : registers.rax;
  let high = registers.rdx;
  if (width < 8) {
    if (width > 1) low = truncate(low, width) | (truncate(high, width) << ((width << 3) as u64));
    if (signed) low = signExtend(low, width << 1);
    high = signed && (low as i64) < 0 ? ~(0 as u64) : 0;
  }
  if (signed) divisor = signExtend(divisor, width);
  const negativeDividend = signed && (high as i64) < 0;
  const negative = negativeDividend != (signed && (divisor as i64) < 0);
  if (negativeDividend) {
    high = ~high + (low ? 0 : 1);
    low = -low;
  }
  if (signed && (divisor as i64) < 0) divisor = -divisor;

  // More than 64 bits of quotient, or a divisor of 0
  let fits = high < divisor;
  if (fits) {
    for (let i = 0; i < 64; i++) {
      const carry = high >> 63;
      high = (high << 1) | (low >> 63);
      low <<= 1;
      if (!carry && high < divisor) continue;
      high -= divisor;
      low |= 1;
    }
    const largest = signed
      ? ((1 as u64) << (((width << 3) - 1) as u64)) - (negative ? 0 : 1)
      : truncate(~(0 as u64), width);
    fits = low <= largest;
  }
  if (!fits) {
    vcpu.raise(Exception.DivideError);
    return Outcome.Faulted;
  }
  writePair(vcpu, width, negative ? -low : low, negativeDividend ? -high : high);
  return finish(vcpu, instruction);
}

/** rDX:rAX, or AH and AL. */
function writePair(vcpu: Vcpu, width: u32, low: u64, high: u64): void {
  const registers = vcpu.registers;
  if (width == 1) return writeRegister(registers, Gpr.Rax, 2, 1, (low & 0xff) | (high << 8));
  writeRegister(registers, Gpr.Rax, width, 1, low);
  writeRegister(registers, Gpr.Rdx, width, 1, high);
}

/** Bits 127:64 of the product of two unsigned numbers. */
export function highProduct(left: u64, right: u64): u64 {
  const leftLow = left & 0xffff_ffff;
  const leftHigh = left >> 32;
  const rightLow = right & 0xffff_ffff;
  const rightHigh = right >> 32;
  const first = leftHigh * rightLow + ((leftLow * rightLow) >> 32);
  const second = leftLow * rightHigh + (first & 0xffff_ffff);
  return leftHigh * rightHigh + (first >> 32) + (second >> 32);
}
