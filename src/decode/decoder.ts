import { Gpr, Segment, Vcpu } from "../vcpu/vcpu";
import { nextByte, nextBytes } from "./fetch";
import { groupOperation, lookUp } from "./opcode-maps";
import { Instruction, NO_REGISTER, Repeat, Rex, signExtend } from "./instruction";
import {
  BYTE,
  FORM_SHIFT,
  Form,
  IMMEDIATE_SHIFT,
  INVALID_64,
  Immediate,
  MODRM,
  OpcodeMap,
  Operation,
  isWideStore,
} from "./opcodes";
import { Outcome } from "./outcome";
import { decodeVex, isVex } from "./vex";

/**
 * Takes the instruction at the guest's RIP apart into `vcpu.instruction`. Done, Faulted, or Unknown for bytes that
 * are no instruction known here.
 */
export function decode(vcpu: Vcpu): Outcome {
  const instruction = vcpu.instruction;
  begin(instruction, vcpu.codeBits());
  const first = decodePrefixes(vcpu, instruction);
  decodeSizes(instruction);
  const word = isVex(vcpu, instruction, first)
    ? decodeVex(vcpu, instruction, first)
    : lookUp(decodeOpcode(vcpu, instruction, first));
  const decoded = decodeOperands(vcpu, instruction, word);
  if (instruction.fetchOutcome != Outcome.Done) return instruction.fetchOutcome;
  return decoded ? Outcome.Done : Outcome.Unknown;
}

function begin(instruction: Instruction, codeBits: u32): void {
  instruction.fetched = 0;
  instruction.length = 0;
  instruction.fetchOutcome = Outcome.Done;
  instruction.codeBits = codeBits;
  instruction.rex = 0;
  instruction.operandPrefix = false;
  instruction.addressPrefix = false;
  instruction.lock = false;
  instruction.repeat = Repeat.None;
  instruction.segmentOverride = NO_REGISTER;
  instruction.vectorLength = 0;
  instruction.inMemory = false;
  instruction.mod = 3;
  instruction.reg = 0;
  instruction.segment = Segment.Ds;
  instruction.ripRelative = false;
  instruction.base = NO_REGISTER;
  instruction.index = NO_REGISTER;
  instruction.displacement = 0;
  instruction.immediate = 0;
}

/** Takes the prefixes (APM 3, 1.2) and returns the byte after them. */
function decodePrefixes(vcpu: Vcpu, instruction: Instruction): u32 {
  const wide = instruction.codeBits == 64;
  while (true) {
    const byte = nextByte(vcpu, instruction);
    if (wide && (byte & 0xf0) == 0x40) {
      instruction.rex = byte;
      continue;
    }
    switch (byte) {
      case 0x26:
      case 0x2e:
      case 0x36:
      case 0x3e:
        if (!wide) instruction.segmentOverride = ((byte >> 3) & 3) as i32;
        break;
      case 0x64:
      case 0x65:
        instruction.segmentOverride = (byte - 0x64 + Segment.Fs) as i32;
        break;
      case 0x66:
        instruction.operandPrefix = true;
        break;
      case 0x67:
        instruction.addressPrefix = true;
        break;
      case 0xf0:
        instruction.lock = true;
        break;
      case 0xf2:
      case 0xf3:
        instruction.repeat = byte;
        break;
      default:
        return byte;
    }
    instruction.rex = 0; // counts only right before the opcode (APM 3, 1.2.7)
  }
}

/** Operand and address size (APM 3, tables 1-2 and 1-3). */
function decodeSizes(instruction: Instruction): void {
  const bits = instruction.codeBits;
  const short = instruction.operandPrefix != (bits == 16);
  instruction.operandSize = instruction.rex & Rex.W ? 8 : short ? 2 : 4;
  if (bits == 64) instruction.addressSize = instruction.addressPrefix ? 4 : 8;
  else instruction.addressSize = instruction.addressPrefix != (bits == 16) ? 2 : 4;
}

function decodeOpcode(vcpu: Vcpu, instruction: Instruction, first: u32): u32 {
  let opcode = first;
  if (opcode == 0x0f) {
    opcode = OpcodeMap.Two | nextByte(vcpu, instruction);
    if (opcode == 0x0f38 || opcode == 0x0f3a) opcode = (opcode << 8) | nextByte(vcpu, instruction);
  }
  instruction.opcode = opcode;
  return opcode;
}

/** False for an encoding that is not known. */
function decodeOperands(vcpu: Vcpu, instruction: Instruction, word: u32): bool {
  const wide = instruction.codeBits == 64;
  let operation: Operation = word & 0xff;
  let form: Form = (word >> FORM_SHIFT) & 7;
  let immediate: u32 = (word >> IMMEDIATE_SHIFT) & 7;
  if (operation == Operation.Unknown || (wide && word & INVALID_64)) return false;

  if (word & MODRM) decodeModRm(vcpu, instruction, operation == Operation.MoveControl);
  else instruction.rm = (instruction.opcode & 7) | (instruction.rex & Rex.B ? 8 : 0);
  if (instruction.mod == 3 && instruction.opcode == 0x62) return false; // BOUND has no register form: EVEX
  if (operation >= Operation.Group1) {
    const group = operation;
    operation = groupOperation(group, instruction.reg);
    if (group == Operation.Group3 && (instruction.reg & 7) < 2) {
      form = Form.EI;
      immediate = word & BYTE ? Immediate.Byte : Immediate.Z;
    }
  }
  instruction.operation = operation;
  instruction.form = form;
  if (wide && instruction.operandSize == 4 && (operation == Operation.Push || operation == Operation.Pop)) {
    instruction.operandSize = 8; // no 32-bit stack operands in 64-bit mode (APM 3, 1.2.7)
  }
  if (instruction.operandSize == 2 && isWideStore(instruction.opcode)) instruction.operandSize = 4; // in 16-bit code
  instruction.width = word & BYTE ? 1 : instruction.operandSize;
  decodeImmediate(vcpu, instruction, immediate);
  if (instruction.ripRelative) instruction.displacement += vcpu.registers.rip + (instruction.length as u64);
  if (instruction.segmentOverride != NO_REGISTER) instruction.segment = instruction.segmentOverride;
  return operation != Operation.Unknown;
}

function decodeModRm(vcpu: Vcpu, instruction: Instruction, registersOnly: bool): void {
  const modRm = nextByte(vcpu, instruction);
  const mod: u32 = registersOnly ? 3 : modRm >> 6;
  instruction.mod = mod;
  instruction.reg = ((modRm >> 3) & 7) | (instruction.rex & Rex.R ? 8 : 0);
  instruction.rm = (modRm & 7) | (instruction.rex & Rex.B ? 8 : 0);
  if (mod == 3) return;
  instruction.inMemory = true;
  if (instruction.addressSize == 2) decodeAddress16(vcpu, instruction, mod, modRm & 7);
  else decodeAddress(vcpu, instruction, mod, modRm & 7);
}

/** 16-bit addressing (APM 3, table A-33): BX or BP and SI or DI, or one of them. */
function decodeAddress16(vcpu: Vcpu, instruction: Instruction, mod: u32, rm: u32): void {
  const direct = mod == 0 && rm == 6;
  if (rm < 4) {
    instruction.base = rm & 2 ? Gpr.Rbp : Gpr.Rbx;
    instruction.index = rm & 1 ? Gpr.Rdi : Gpr.Rsi;
    instruction.scale = 0;
  } else if (!direct) {
    instruction.base = rm == 4 ? Gpr.Rsi : rm == 5 ? Gpr.Rdi : rm == 6 ? Gpr.Rbp : Gpr.Rbx;
  }
  if (instruction.base == Gpr.Rbp) instruction.segment = Segment.Ss;
  decodeDisplacement(vcpu, instruction, direct || mod == 2 ? 2 : mod);
}

/** 32- and 64-bit addressing (APM 3, tables ). */
function decodeAddress(vcpu: Vcpu, instruction: Instruction, mod: u32, rm: u32): void {
  const rex = instruction.rex;
  let base = rm;
  if (rm == 4) {
    const sib = nextByte(vcpu, instruction);
    base = sib & 7;
    const index = ((sib >> 3) & 7) | (rex & Rex.X ? 8 : 0);
    if (index != 4) instruction.index = index;
    instruction.scale = sib >> 6;
  }
  const direct = mod == 0 && base == 5;
  if (!direct) {
    instruction.base = base | (rex & Rex.B ? 8 : 0);
    if (instruction.base == Gpr.Rsp || instruction.base == Gpr.Rbp) instruction.segment = Segment.Ss;
  } else if (rm == 5) {
    instruction.ripRelative = instruction.codeBits == 64;
  }
  decodeDisplacement(vcpu, instruction, direct || mod == 2 ? 4 : mod);
}

function decodeDisplacement(vcpu: Vcpu, instruction: Instruction, width: u32): void {
  if (width) instruction.displacement = signExtend(nextBytes(vcpu, instruction, width), width);
}

function decodeImmediate(vcpu: Vcpu, instruction: Instruction, kind: u32): void {
  const size = instruction.operandSize;
  switch (kind) {
    case Immediate.None:
      return;
    case Immediate.Byte:
      return setImmediate(vcpu, instruction, 1);
    case Immediate.Word:
      return setImmediate(vcpu, instruction, 2);
    case Immediate.Z:
      return setImmediate(vcpu, instruction, min<u32>(size, 4));
    case Immediate.V:
      return setImmediate(vcpu, instruction, size);
    case Immediate.Offset:
      instruction.inMemory = true;
      instruction.displacement = nextBytes(vcpu, instruction, instruction.addressSize);
      return;
    case Immediate.Far:
      setImmediate(vcpu, instruction, size);
      return setImmediate(vcpu, instruction, 2);
    default:
      setImmediate(vcpu, instruction, 2);
      return setImmediate(vcpu, instruction, 1);
  }
}

function setImmediate(vcpu: Vcpu, instruction: Instruction, width: u32): void {
  instruction.immediate = signExtend(nextBytes(vcpu, instruction, width), width);
}
