import { Rflags } from "../vcpu/vcpu";
import { Instruction, truncate } from "./instruction";
import { Operation } from "./opcodes";

export const STATUS_FLAGS: u32 = Rflags.Cf | Rflags.Pf | Rflags.Af | Rflags.Zf | Rflags.Sf | Rflags.Of;

/** The most significant bit of `width` bytes. */
export function signBit(value: u64, width: u32): u32 {
  return ((value >> (((width << 3) - 1) as u64)) as u32) & 1;
}

/** ZF, SF and PF of a result. */
export function resultFlags(result: u64, width: u32): u32 {
  let flags: u32 = 0;
  if (!result) flags |= Rflags.Zf;
  if (signBit(result, width)) flags |= Rflags.Sf;
  if (!(popcnt<u32>((result as u32) & 0xff) & 1)) flags |= Rflags.Pf;
  return flags;
}

/**
 * The operations with two operands or one, from ADD to CMP, TEST, INC, DEC, NOT and NEG, on `width` bytes: the result,
 * and the status flags in `instruction.flags`.
 */
export function compute(instruction: Instruction, operation: Operation, left: u64, right: u64, width: u32): u64 {
  const carry: u64 = instruction.flags & Rflags.Cf;
  switch (operation) {
    case Operation.Add:
    case Operation.Xadd:
      return add(instruction, left, right, 0, width);
    case Operation.Adc:
      return add(instruction, left, right, carry, width);
    case Operation.Sbb:
      return subtract(instruction, left, right, carry, width);
    case Operation.Sub:
    case Operation.Cmp:
      return subtract(instruction, left, right, 0, width);
    case Operation.Neg:
      return subtract(instruction, 0, left, 0, width);
    case Operation.Or:
      return logical(instruction, left | right, width);
    case Operation.Xor:
      return logical(instruction, left ^ right, width);
    case Operation.And:
    case Operation.Test:
      return logical(instruction, left & right, width);
    case Operation.Not:
      return truncate(~left, width);
    case Operation.Inc:
      left = add(instruction, left, 1, 0, width);
      break;
    default:
      left = subtract(instruction, left, 1, 0, width);
      break;
  }
  instruction.flags = (instruction.flags & ~Rflags.Cf) | (carry as u32); // INC and DEC leave CF
  return left;
}

function add(instruction: Instruction, left: u64, right: u64, carry: u64, width: u32): u64 {
  const result = truncate(left + right + carry, width);
  let flags = resultFlags(result, width);
  if (result < left || (carry != 0 && result == left)) flags |= Rflags.Cf;
  if ((left ^ right ^ result) & 0x10) flags |= Rflags.Af;
  if (signBit((left ^ result) & (right ^ result), width)) flags |= Rflags.Of;
  instruction.flags = flags;
  return result;
}

function subtract(instruction: Instruction, left: u64, right: u64, borrow: u64, width: u32): u64 {
  const result = truncate(left - right - borrow, width);
  let flags = resultFlags(result, width);
  if (left < right || (borrow != 0 && left == right)) flags |= Rflags.Cf;
  if ((left ^ right ^ result) & 0x10) flags |= Rflags.Af;
  if (signBit((left ^ right) & (left ^ result), width)) flags |= Rflags.Of;
  instruction.flags = flags;
  return result;
}

function logical(instruction: Instruction, result: u64, width: u32): u64 {
  instruction.flags = resultFlags(result, width);
  return result;
}

/** Whether condition `code`, the low four bits of Jcc, SETcc and CMOVcc, holds (APM 3, Jcc). */
export function conditionHolds(code: u32, flags: u32): bool {
  const sign = (flags & Rflags.Sf) != 0;
  const overflow = (flags & Rflags.Of) != 0;
  let holds: bool = false;
  switch ((code >> 1) & 7) {
    case 0:
      holds = overflow;
      break;
    case 1:
      holds = (flags & Rflags.Cf) != 0;
      break;
    case 2:
      holds = (flags & Rflags.Zf) != 0;
      break;
    case 3:
      holds = (flags & (Rflags.Cf | Rflags.Zf)) != 0;
      break;
    case 4:
      holds = sign;
      break;
    case 5:
      holds = (flags & Rflags.Pf) != 0;
      break;
    case 6:
      holds = sign != overflow;
      break;
    default:
      holds = (flags & Rflags.Zf) != 0 || sign != overflow;
      break;
  }
  return holds != ((code & 1) != 0);
}
