import { Access } from "../memory/translate";
import { cpuid } from "../metal";
import { Gpr, Rflags, Vcpu } from "../vcpu/vcpu";
import { resultFlags } from "./arithmetic";
import { MemoryBus } from "./bus";
import { Instruction, Repeat, Rex, signExtend, truncate } from "./instruction";
import { highProduct } from "./multiply";
import { Operation } from "./opcodes";
import { finish, prepare, readE, readG, readRegister, writeG, writeRegister } from "./operands";
import { Outcome } from "./outcome";

// Counting and picking bits: ABM, BMI1, BMI2 and CRC32 (APM 3, chapter 3). Flags that the manual leaves undefined are
// those of a result, or as they were.

/** CPUID Fn0000_0007 EBX and Fn8000_0001 ECX. */
const BMI1: u32 = 1 << 3;
const ABM: u32 = 1 << 5;

/** Castagnoli's polynomial, lowest power first. */
const POLYNOMIAL: u64 = 0x82f6_3b78;

/** Opcodes behind VEX; F3 by ModRM.reg, the others with VEX.pp have several. */
const enum Opcode {
  Andn = 0x0f38f2,
  Lowest = 0x0f38f3,
  BzhiPextPdep = 0x0f38f5,
  Mulx = 0x0f38f6,
  BextrShifts = 0x0f38f7,
  Rorx = 0x0f3af0,
}
/** Of Opcode.Lowest: BLSR, BLSMSK, BLSI. */
const enum Lowest {
  Reset = 1,
  Mask = 2,
  Isolate = 3,
}

/** Whether F3 before BSF or BSR makes it TZCNT or LZCNT, as on processors that have these; on others it does nothing. */
export function countsZeros(instruction: Instruction): bool {
  if (instruction.repeat != Repeat.Equal) return false;
  const registers = changetype<usize>(instruction.vector);
  if (instruction.operation == Operation.Bsf) {
    cpuid(7, 0, registers);
    return (load<u32>(registers, 24) & BMI1) != 0;
  }
  cpuid(0x8000_0001, 0, registers);
  return (load<u32>(registers, 8) & ABM) != 0;
}

/** TZCNT and LZCNT. */
export function countZeros(vcpu: Vcpu, bus: MemoryBus, instruction: Instruction): Outcome {
  const width = instruction.width;
  if (!prepare(vcpu, instruction, width, Access.Read)) return Outcome.Faulted;
  const value = readE(vcpu, bus, instruction, width);
  const bits = (width << 3) as u64;
  let count = bits;
  if (value) count = instruction.operation == Operation.Bsf ? ctz(value) : clz(value) - (64 - bits);
  writeG(vcpu, instruction, width, count);
  setFlags(instruction, Rflags.Cf | Rflags.Zf, (value ? 0 : Rflags.Cf) | (count ? 0 : Rflags.Zf));
  return finish(vcpu, instruction);
}

/** CRC32 of 1, 2, 4 or 8 bytes. */
export function checksum(vcpu: Vcpu, bus: MemoryBus, instruction: Instruction): Outcome {
  const width: u32 = instruction.opcode & 1 ? instruction.width : 1;
  if (!prepare(vcpu, instruction, width, Access.Read)) return Outcome.Faulted;
  const value = readE(vcpu, bus, instruction, width);
  let sum = readG(vcpu, instruction, 4);
  for (let bit: u32 = 0; bit < width << 3; bit++) {
    const lowest = (sum ^ (value >> (bit as u64))) & 1;
    sum = (sum >> 1) ^ (lowest ? POLYNOMIAL : 0);
  }
  writeG(vcpu, instruction, 8, sum);
  return finish(vcpu, instruction);
}

/** What VEX has of BMI1 and BMI2; Unknown for any other instruction. */
export function pickBits(vcpu: Vcpu, bus: MemoryBus, instruction: Instruction): Outcome {
  if (instruction.vectorLength != 16 || !isKnown(instruction)) return Outcome.Unknown;
  const width: u32 = instruction.rex & Rex.W ? 8 : 4;
  if (!prepare(vcpu, instruction, width, Access.Read)) return Outcome.Faulted;
  const value = readE(vcpu, bus, instruction, width);
  const other = readRegister(vcpu.registers, instruction.vectorSource, width, 1);
  let result: u64 = 0;
  switch (instruction.opcode) {
    case Opcode.Andn:
      result = ~other & value;
      setResultFlags(instruction, result, width, false);
      break;
    case Opcode.Lowest:
      result = lowestBit(instruction, value, width);
      writeRegister(vcpu.registers, instruction.vectorSource, width, 1, truncate(result, width));
      return finish(vcpu, instruction);
    case Opcode.BzhiPextPdep:
      if (instruction.repeat == Repeat.Equal) result = extract(other, value);
      else if (instruction.repeat == Repeat.NotEqual) result = deposit(other, value);
      else result = zeroHigh(instruction, value, other & 0xff, width);
      break;
    case Opcode.Mulx: {
      const factor = readRegister(vcpu.registers, Gpr.Rdx, width, 1);
      const low = factor * value;
      writeRegister(vcpu.registers, instruction.vectorSource, width, 1, truncate(low, width));
      result = width == 8 ? highProduct(factor, value) : low >> 32;
      break;
    }
    case Opcode.BextrShifts:
      result = extractOrShift(instruction, value, other, width);
      break;
    default:
      result = rotateRight(value, instruction.immediate, width);
  }
  writeG(vcpu, instruction, width, truncate(result, width));
  return finish(vcpu, instruction);
}

/** Which of them there are, by VEX.pp and, for one, ModRM.reg. */
function isKnown(instruction: Instruction): bool {
  const plain = instruction.repeat == Repeat.None && !instruction.operandPrefix;
  const operation: Lowest = instruction.reg & 7;
  switch (instruction.opcode) {
    case Opcode.Andn:
      return plain;
    case Opcode.Lowest:
      return plain && operation >= Lowest.Reset && operation <= Lowest.Isolate;
    case Opcode.BzhiPextPdep:
      return !instruction.operandPrefix;
    case Opcode.BextrShifts:
      return true;
    case Opcode.Mulx:
    case Opcode.Rorx:
      return instruction.repeat == Repeat.NotEqual;
    default:
      return false;
  }
}

function lowestBit(instruction: Instruction, value: u64, width: u32): u64 {
  const operation: Lowest = instruction.reg & 7;
  let result = -value & value;
  if (operation == Lowest.Reset) result = (value - 1) & value;
  else if (operation == Lowest.Mask) result = (value - 1) ^ value;
  setResultFlags(instruction, result, width, (value != 0) == (operation == Lowest.Isolate));
  return result;
}

/** BZHI. */
function zeroHigh(instruction: Instruction, value: u64, from: u64, width: u32): u64 {
  const beyond = from >= ((width << 3) as u64);
  const result = beyond ? value : value & (((1 as u64) << from) - 1);
  setResultFlags(instruction, result, width, beyond);
  return result;
}

/** BEXTR, or with a prefix SHLX, SARX or SHRX. */
function extractOrShift(instruction: Instruction, value: u64, other: u64, width: u32): u64 {
  const amount = other & (((width << 3) - 1) as u64);
  if (instruction.operandPrefix) return value << amount;
  if (instruction.repeat == Repeat.Equal) return ((signExtend(value, width) as i64) >> (amount as i64)) as u64;
  if (instruction.repeat == Repeat.NotEqual) return value >> amount;
  const start = other & 0xff;
  const length = (other >> 8) & 0xff;
  const shifted = start < 64 ? value >> start : 0;
  const result = length < 64 ? shifted & (((1 as u64) << length) - 1) : shifted;
  setResultFlags(instruction, result, width, false);
  return result;
}

function rotateRight(value: u64, count: u64, width: u32): u64 {
  const amount = count & (((width << 3) - 1) as u64);
  return width == 8 ? rotr<u64>(value, amount) : (rotr<u32>(value as u32, amount as u32) as u64);
}

/** PEXT: those bits of a value that the mask has, side by side. */
function extract(value: u64, mask: u64): u64 {
  let result: u64 = 0;
  for (let at: u64 = 0; mask; at++, mask &= mask - 1) {
    if (value & mask & -mask) result |= (1 as u64) << at;
  }
  return result;
}

/** PDEP: a value's lowest bits at the places that the mask has. */
function deposit(value: u64, mask: u64): u64 {
  let result: u64 = 0;
  for (; mask; value >>= 1, mask &= mask - 1) {
    if (value & 1) result |= mask & -mask;
  }
  return result;
}

/** SF and ZF of a result, and CF; OF is clear. */
function setResultFlags(instruction: Instruction, result: u64, width: u32, carry: bool): void {
  instruction.flags = resultFlags(truncate(result, width), width) | (carry ? Rflags.Cf : 0);
}

function setFlags(instruction: Instruction, which: u32, flags: u32): void {
  instruction.flags = (instruction.flags & ~which) | flags;
}
