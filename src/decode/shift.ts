import { Rflags } from "../vcpu/vcpu";
import { resultFlags, signBit } from "./arithmetic";
import { Instruction, signExtend, truncate } from "./instruction";
import { Operation } from "./opcodes";

// Shifts and rotates (APM 3, chapter 3). Where the manual leaves a flag undefined it gets what falls out.

/** Shifts or rotates `value`, `width` bytes wide; the result, and the status flags in `instruction.flags`. */
export function shift(instruction: Instruction, operation: Operation, value: u64, amount: u32, width: u32): u64 {
  const count = amount & (width == 8 ? 63 : 31);
  if (!count) return value;
  switch (operation) {
    case Operation.Rol:
      return rotateLeft(instruction, value, count, width);
    case Operation.Ror:
      return rotateRight(instruction, value, count, width);
    case Operation.Rcl:
      return rotateLeftThroughCarry(instruction, value, count, width);
    case Operation.Rcr:
      return rotateRightThroughCarry(instruction, value, count, width);
    case Operation.Shr:
      return shiftRight(instruction, value, value, count, width);
    case Operation.Sar:
      return shiftRight(instruction, value, signExtend(value, width), count, width);
    default:
      return shiftLeft(instruction, value, count, width);
  }
}

/** SHLD and SHRD: what moves in comes from `filler`. */
export function doubleShift(
  instruction: Instruction,
  left: bool,
  value: u64,
  filler: u64,
  amount: u32,
  width: u32,
): u64 {
  const count = (amount & (width == 8 ? 63 : 31)) as u64;
  const bits = (width << 3) as u64;
  if (!count) return value;
  if (count > bits) return value; // undefined, 16-bit operands only
  let result: u64 = 0;
  let carry: u64 = 0;
  if (left) {
    result = truncate((value << count) | shiftOut(filler, bits - count), width);
    carry = value >> (bits - count);
  } else {
    result = truncate((value >> count) | (filler << (bits - count)), width);
    carry = value >> (count - 1);
  }
  finish(instruction, result, carry, signBit(value ^ result, width), width);
  return result;
}

function shiftLeft(instruction: Instruction, value: u64, count: u32, width: u32): u64 {
  const result = truncate(value << (count as u64), width);
  const bits = width << 3;
  const carry = count <= bits ? value >> ((bits - count) as u64) : 0;
  finish(instruction, result, carry, signBit(result, width) ^ ((carry as u32) & 1), width);
  return result;
}

/** `extended` is the value with what moves in from the left. */
function shiftRight(instruction: Instruction, value: u64, extended: u64, count: u32, width: u32): u64 {
  const arithmetic = instruction.operation == Operation.Sar;
  const result = truncate(shiftOut(extended, count as u64, arithmetic), width);
  const carry = shiftOut(extended, (count - 1) as u64, arithmetic);
  finish(instruction, result, carry, signBit(value ^ result, width), width);
  return result;
}

/** A right shift, logical or arithmetic, whose count may be 64. */
function shiftOut(value: u64, count: u64, arithmetic: bool = false): u64 {
  if (arithmetic) return ((value as i64) >> (min(count, 63) as i64)) as u64;
  return count > 63 ? 0 : value >> count;
}

function finish(instruction: Instruction, result: u64, carry: u64, overflow: u32, width: u32): void {
  instruction.flags = resultFlags(result, width) | ((carry as u32) & 1 ? Rflags.Cf : 0) | (overflow ? Rflags.Of : 0);
}

function rotateLeft(instruction: Instruction, value: u64, count: u32, width: u32): u64 {
  const bits = width << 3;
  const by = count & (bits - 1);
  const result = by ? truncate((value << (by as u64)) | (value >> ((bits - by) as u64)), width) : value;
  const carry = (result as u32) & 1;
  setCarryAndOverflow(instruction, carry, signBit(result, width) ^ carry);
  return result;
}

function rotateRight(instruction: Instruction, value: u64, count: u32, width: u32): u64 {
  const bits = width << 3;
  const by = count & (bits - 1);
  const result = by ? truncate((value >> (by as u64)) | (value << ((bits - by) as u64)), width) : value;
  const carry = signBit(result, width);
  setCarryAndOverflow(instruction, carry, carry ^ signBit(result << 1, width));
  return result;
}

/** Through CF one bit at a time: rare, and the widths with CF are odd. */
function rotateLeftThroughCarry(instruction: Instruction, value: u64, count: u32, width: u32): u64 {
  let carry = instruction.flags & Rflags.Cf;
  for (let i = count; i; i--) {
    const out = signBit(value, width);
    value = truncate((value << 1) | (carry as u64), width);
    carry = out;
  }
  setCarryAndOverflow(instruction, carry, signBit(value, width) ^ carry);
  return value;
}

function rotateRightThroughCarry(instruction: Instruction, value: u64, count: u32, width: u32): u64 {
  const top = ((width << 3) - 1) as u64;
  let carry = instruction.flags & Rflags.Cf;
  for (let i = count; i; i--) {
    const out = (value as u32) & 1;
    value = (value >> 1) | ((carry as u64) << top);
    carry = out;
  }
  setCarryAndOverflow(instruction, carry, signBit(value, width) ^ signBit(value << 1, width));
  return value;
}

/** Rotates change no other flag. */
function setCarryAndOverflow(instruction: Instruction, carry: u32, overflow: u32): void {
  const others = instruction.flags & ~(Rflags.Cf | Rflags.Of);
  instruction.flags = others | (carry ? Rflags.Cf : 0) | (overflow ? Rflags.Of : 0);
}
