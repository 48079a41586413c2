import { Access } from "../memory/translate";
import { Gpr, Rflags, Vcpu } from "../vcpu/vcpu";
import { STATUS_FLAGS, compute, conditionHolds } from "./arithmetic";
import { MemoryBus } from "./bus";
import { compareAndExchangePair, exchange, testBit } from "./atomic";
import { checksum, countZeros, countsZeros, pickBits } from "./bits";
import { Instruction, Repeat, signExtend, truncate } from "./instruction";
import { divide, multiply } from "./multiply";
import { Form, Operation, isWideStore } from "./opcodes";
import { finish, prepare, readE, readG, writeE, writeG, writeRegister } from "./operands";
import { Outcome } from "./outcome";
import { doubleShift, shift } from "./shift";
import { pop, push } from "./stack";
import { carryOutString } from "./strings";
import { moveVector } from "./vector";

/** Carries out the instruction that `decode` left in `vcpu.instruction`. */
export function execute(vcpu: Vcpu, bus: MemoryBus): Outcome {
  const instruction = vcpu.instruction;
  if (!isLegal(instruction)) return Outcome.Unknown;
  instruction.flags = (vcpu.registers.rflags as u32) & STATUS_FLAGS;
  const operation = instruction.operation;
  switch (operation) {
    case Operation.Unknown:
    case Operation.MoveControl:
      return Outcome.Unknown;
    case Operation.Other: {
      const outcome = pickBits(vcpu, bus, instruction);
      return outcome == Outcome.Unknown ? moveVector(vcpu, bus, instruction) : outcome;
    }
    case Operation.MoveSegment:
      return moveSegment(vcpu, bus, instruction);
    case Operation.Movbe:
      if (instruction.repeat == Repeat.NotEqual) return checksum(vcpu, bus, instruction);
      return moveSwapped(vcpu, bus, instruction);
    case Operation.Movzx:
    case Operation.Movsx:
    case Operation.Movsxd:
      return moveExtended(vcpu, bus, instruction);
    case Operation.Setcc:
    case Operation.Cmovcc:
      return conditional(vcpu, bus, instruction);
    case Operation.Push:
      return push(vcpu, bus, instruction);
    case Operation.Pop:
      return pop(vcpu, bus, instruction);
    case Operation.Shld:
    case Operation.Shrd:
      return shiftDouble(vcpu, bus, instruction);
    case Operation.Movs:
    case Operation.Cmps:
    case Operation.Stos:
    case Operation.Lods:
    case Operation.Scas:
    case Operation.Ins:
    case Operation.Outs:
      return carryOutString(vcpu, bus, instruction);
    case Operation.Imul:
    case Operation.Mul:
    case Operation.ImulWide:
      return multiply(vcpu, bus, instruction);
    case Operation.Div:
    case Operation.Idiv:
      return divide(vcpu, bus, instruction);
    case Operation.Bsf:
    case Operation.Bsr:
      if (countsZeros(instruction)) return countZeros(vcpu, bus, instruction);
      return countBits(vcpu, bus, instruction);
    case Operation.Popcnt:
      return countBits(vcpu, bus, instruction);
    case Operation.Bt:
    case Operation.Bts:
    case Operation.Btr:
    case Operation.Btc:
      return testBit(vcpu, bus, instruction);
    case Operation.Xchg:
    case Operation.Xadd:
    case Operation.Cmpxchg:
      return exchange(vcpu, bus, instruction);
    case Operation.Cmpxchg8b:
      return compareAndExchangePair(vcpu, bus, instruction);
    default:
      return ordinary(vcpu, bus, instruction);
  }
}

/** Encodings that raise #UD although the tables know them. */
function isLegal(instruction: Instruction): bool {
  const operation = instruction.operation;
  const toMemory = instruction.inMemory && instruction.form != Form.GE;
  // LOCK: only where memory is read, changed and written (APM 3, 1.2.5)
  if (instruction.lock && !(toMemory && mayLock(operation))) return false;
  switch (operation) {
    case Operation.Cmpxchg8b:
      return instruction.inMemory;
    case Operation.Movbe:
      // F2 makes it CRC32, which has a register form too
      return instruction.repeat == Repeat.NotEqual || (instruction.inMemory && instruction.repeat == Repeat.None);
    case Operation.Movsxd:
      return instruction.codeBits == 64; // ARPL elsewhere
    case Operation.Popcnt:
      return instruction.repeat == Repeat.Equal;
    case Operation.Mov:
      return !isWideStore(instruction.opcode) || (instruction.inMemory && !instruction.operandPrefix);
    default:
      return true;
  }
}

function mayLock(operation: Operation): bool {
  if (operation >= Operation.Bts) return true;
  return operation >= Operation.Add && operation <= Operation.Xor;
}

/** MOV, and what computes a destination from itself and a source. */
function ordinary(vcpu: Vcpu, bus: MemoryBus, instruction: Instruction): Outcome {
  const operation = instruction.operation;
  const form = instruction.form;
  const width = instruction.width;
  const writes = operation != Operation.Cmp && operation != Operation.Test;
  const toE = form != Form.GE && form != Form.AI;
  if (!prepare(vcpu, instruction, width, toE && writes ? Access.Write : Access.Read)) return Outcome.Faulted;

  let right: u64 = 0;
  if (form == Form.EG) right = readG(vcpu, instruction, width);
  else if (form == Form.GE) right = readE(vcpu, bus, instruction, width);
  else if (form == Form.E1) right = 1;
  else if (form == Form.ECl) right = vcpu.registers.rcx & 0xff;
  else right = truncate(instruction.immediate, width);

  let result = right;
  if (operation != Operation.Mov) {
    let left: u64 = 0;
    if (toE) left = readE(vcpu, bus, instruction, width);
    else if (form == Form.GE) left = readG(vcpu, instruction, width);
    else left = truncate(vcpu.registers.rax, width);
    result =
      operation >= Operation.Rol && operation <= Operation.Sar
        ? shift(instruction, operation, left, right as u32, width)
        : compute(instruction, operation, left, right, width);
  }
  if (writes) {
    if (toE) writeE(vcpu, bus, instruction, width, result);
    else if (form == Form.GE) writeG(vcpu, instruction, width, result);
    else writeRegister(vcpu.registers, Gpr.Rax, width, 1, result);
  }
  return finish(vcpu, instruction);
}

function moveSegment(vcpu: Vcpu, bus: MemoryBus, instruction: Instruction): Outcome {
  const segment = instruction.reg & 7; // REX.R is ignored
  if (segment > 5) return Outcome.Unknown;
  const width: u32 = instruction.inMemory ? 2 : instruction.operandSize;
  if (!prepare(vcpu, instruction, width, Access.Write)) return Outcome.Faulted;
  writeE(vcpu, bus, instruction, width, vcpu.segmentSelector(segment) as u64);
  return finish(vcpu, instruction);
}

function moveSwapped(vcpu: Vcpu, bus: MemoryBus, instruction: Instruction): Outcome {
  const width = instruction.width;
  const load = instruction.form == Form.GE;
  if (!prepare(vcpu, instruction, width, load ? Access.Read : Access.Write)) return Outcome.Faulted;
  const unused = (64 - (width << 3)) as u64;
  if (load) writeG(vcpu, instruction, width, bswap<u64>(readE(vcpu, bus, instruction, width)) >> unused);
  else writeE(vcpu, bus, instruction, width, bswap<u64>(readG(vcpu, instruction, width)) >> unused);
  return finish(vcpu, instruction);
}

function moveExtended(vcpu: Vcpu, bus: MemoryBus, instruction: Instruction): Outcome {
  const operation = instruction.operation;
  const wide: u32 = operation == Operation.Movsxd ? min<u32>(instruction.operandSize, 4) : 2;
  const width: u32 = operation != Operation.Movsxd && !(instruction.opcode & 1) ? 1 : wide;
  if (!prepare(vcpu, instruction, width, Access.Read)) return Outcome.Faulted;
  const value = readE(vcpu, bus, instruction, width);
  const extended = operation == Operation.Movzx ? value : signExtend(value, width);
  writeG(vcpu, instruction, instruction.operandSize, extended);
  return finish(vcpu, instruction);
}

function conditional(vcpu: Vcpu, bus: MemoryBus, instruction: Instruction): Outcome {
  const width = instruction.width;
  const holds = conditionHolds(instruction.opcode & 15, instruction.flags);
  const set = instruction.operation == Operation.Setcc;
  if (!prepare(vcpu, instruction, width, set ? Access.Write : Access.Read)) return Outcome.Faulted;
  if (set) {
    writeE(vcpu, bus, instruction, width, holds ? 1 : 0);
  } else {
    // CMOVcc reads its source in any case, and a 32-bit one clears the upper half in any case.
    const value = readE(vcpu, bus, instruction, width);
    writeG(vcpu, instruction, width, holds ? value : readG(vcpu, instruction, width));
  }
  return finish(vcpu, instruction);
}

/** BSF, BSR and POPCNT. Of 0, BSF and BSR leave the destination, all of it (APM 3, BSF). */
function countBits(vcpu: Vcpu, bus: MemoryBus, instruction: Instruction): Outcome {
  const width = instruction.width;
  const operation = instruction.operation;
  if (!prepare(vcpu, instruction, width, Access.Read)) return Outcome.Faulted;
  const value = readE(vcpu, bus, instruction, width);
  const count =
    operation == Operation.Popcnt ? popcnt(value) : operation == Operation.Bsf ? ctz(value) : 63 - clz(value);
  if (value || operation == Operation.Popcnt) writeG(vcpu, instruction, width, count);
  const others = operation == Operation.Popcnt ? 0 : instruction.flags & ~Rflags.Zf;
  instruction.flags = others | (value ? 0 : Rflags.Zf);
  return finish(vcpu, instruction);
}

function shiftDouble(vcpu: Vcpu, bus: MemoryBus, instruction: Instruction): Outcome {
  const width = instruction.width;
  if (!prepare(vcpu, instruction, width, Access.Write)) return Outcome.Faulted;
  const amount = (instruction.opcode & 1 ? vcpu.registers.rcx : instruction.immediate) as u32;
  const value = readE(vcpu, bus, instruction, width);
  const left = instruction.operation == Operation.Shld;
  const result = doubleShift(instruction, left, value, readG(vcpu, instruction, width), amount, width);
  writeE(vcpu, bus, instruction, width, result);
  return finish(vcpu, instruction);
}
