import { Access, Cr0, Cr4 } from "../memory/translate";
import { readVector, readXcr0, writeVector } from "../metal";
import { Exception, Rflags, Vcpu } from "../vcpu/vcpu";
import { MemoryBus } from "./bus";
import { Instruction, Repeat, Rex, truncate } from "./instruction";
import { finish, prepare } from "./operands";
import { Outcome } from "./outcome";

// Moves between memory and the XMM and YMM registers (APM 4): what compilers and drivers copy with.

/** XCR0.SSE and XCR0.YMM (APM 2, 11.5.2). */
const AVX_STATE: u64 = 6;

/** What an encoding moves: a number of bytes, 1 to 16, or one of the first two; and how. */
const enum Move {
  /** All of the register, 16 or 32 bytes. */
  Whole = 0,
  /** 4 bytes, or 8 with REX.W or VEX.W. */
  General = 31,
  Bytes = 31,
  Store = 1 << 5,
  /** #GP unless the address is a multiple of the width. */
  Aligned = 1 << 6,
  /** One of the register's elements, whose number is the immediate; a load keeps the others. */
  Element = 1 << 7,
  /** The first element or the second, without an immediate. */
  Low = 1 << 8,
  High = 1 << 9,
  /** A load fills the register with copies. */
  Broadcast = 1 << 10,
  None = 1 << 11,
}

/** By opcode: without a prefix, with 66, F3 and F2, or VEX.pp in this order. MMX registers are not moved here. */
// prettier-ignore
const MOVES: StaticArray<u32> = [
  0x0f10, Move.Whole, Move.Whole, 4, 8, // MOVUPS, MOVUPD, MOVSS, MOVSD
  0x0f11, Move.Store, Move.Store, Move.Store | 4, Move.Store | 8,
  0x0f12, Move.Low | 8, Move.Low | 8, Move.None, Move.Broadcast | 8, // MOVLPS, MOVLPD, -, MOVDDUP
  0x0f13, Move.Store | 8, Move.Store | 8, Move.None, Move.None,
  0x0f16, Move.High | 8, Move.High | 8, Move.None, Move.None, // MOVHPS, MOVHPD
  0x0f17, Move.Store | Move.High | 8, Move.Store | Move.High | 8, Move.None, Move.None,
  0x0f28, Move.Aligned, Move.Aligned, Move.None, Move.None, // MOVAPS, MOVAPD
  0x0f29, Move.Store | Move.Aligned, Move.Store | Move.Aligned, Move.None, Move.None,
  0x0f2b, Move.Store | Move.Aligned, Move.Store | Move.Aligned, Move.None, Move.None, // MOVNTPS, MOVNTPD
  0x0f6e, Move.None, Move.General, Move.None, Move.None, // MOVD, MOVQ
  0x0f6f, Move.None, Move.Aligned, Move.Whole, Move.None, // MOVDQA, MOVDQU
  0x0f7e, Move.None, Move.Store | Move.General, 8, Move.None, // MOVD, MOVQ; MOVQ
  0x0f7f, Move.None, Move.Store | Move.Aligned, Move.Store, Move.None,
  0x0fc4, Move.None, Move.Element | 2, Move.None, Move.None, // PINSRW
  0x0fd6, Move.None, Move.Store | 8, Move.None, Move.None, // MOVQ
  0x0fe7, Move.None, Move.Store | Move.Aligned, Move.None, Move.None, // MOVNTDQ
  0x0ff0, Move.None, Move.None, Move.None, Move.Whole, // LDDQU
  0x0f382a, Move.None, Move.Aligned, Move.None, Move.None, // MOVNTDQA
  0x0f3a14, Move.None, Move.Store | Move.Element | 1, Move.None, Move.None, // PEXTRB, PEXTRW, PEXTRD, EXTRACTPS
  0x0f3a15, Move.None, Move.Store | Move.Element | 2, Move.None, Move.None,
  0x0f3a16, Move.None, Move.Store | Move.Element | Move.General, Move.None, Move.None,
  0x0f3a17, Move.None, Move.Store | Move.Element | 4, Move.None, Move.None,
  0x0f3a20, Move.None, Move.Element | 1, Move.None, Move.None, // PINSRB, PINSRD, PINSRQ
  0x0f3a22, Move.None, Move.Element | Move.General, Move.None, Move.None,
];

/** Those that only VEX has, all with pp = 66. */
// prettier-ignore
const VEX_MOVES: StaticArray<u32> = [
  0x0f3818, Move.Broadcast | 4, // VBROADCASTSS, VBROADCASTSD, VBROADCASTF128
  0x0f3819, Move.Broadcast | 8,
  0x0f381a, Move.Broadcast | 16,
  0x0f3858, Move.Broadcast | 4, // VPBROADCASTD, VPBROADCASTQ, VBROADCASTI128
  0x0f3859, Move.Broadcast | 8,
  0x0f385a, Move.Broadcast | 16,
  0x0f3878, Move.Broadcast | 1, // VPBROADCASTB, VPBROADCASTW
  0x0f3879, Move.Broadcast | 2,
  0x0f3a18, Move.Element | 16, // VINSERTF128, VEXTRACTF128
  0x0f3a19, Move.Store | Move.Element | 16,
  0x0f3a38, Move.Element | 16, // VINSERTI128, VEXTRACTI128
  0x0f3a39, Move.Store | Move.Element | 16,
];

function lookUp(instruction: Instruction): u32 {
  const repeat = instruction.repeat;
  const prefix = repeat == Repeat.Equal ? 2 : repeat == Repeat.NotEqual ? 3 : instruction.operandPrefix ? 1 : 0;
  for (let i = 0; i < MOVES.length; i += 5) {
    if (unchecked(MOVES[i]) == instruction.opcode) return unchecked(MOVES[i + 1 + prefix]);
  }
  if (!instruction.vectorLength || prefix != 1) return Move.None;
  for (let i = 0; i < VEX_MOVES.length; i += 2) {
    if (unchecked(VEX_MOVES[i]) == instruction.opcode) return unchecked(VEX_MOVES[i + 1]);
  }
  return Move.None;
}

/** Carries out a move; Unknown for any other instruction. */
export function moveVector(vcpu: Vcpu, bus: MemoryBus, instruction: Instruction): Outcome {
  const move = lookUp(instruction);
  if (move & Move.None || !instruction.inMemory) return Outcome.Unknown;
  if (!isAvailable(vcpu, instruction)) return Outcome.Faulted;
  const length = max<u32>(instruction.vectorLength, 16);
  let width = move & Move.Bytes;
  if (width == Move.General) width = instruction.rex & Rex.W ? 8 : 4;
  else if (width == Move.Whole) width = length;
  if (move & Move.Aligned && !isAligned(vcpu, instruction, width)) return Outcome.Faulted;
  if (!prepare(vcpu, instruction, width, move & Move.Store ? Access.Write : Access.Read)) return Outcome.Faulted;

  const vector = changetype<usize>(instruction.vector);
  const wide = instruction.vectorLength == 32;
  let element: u32 = move & Move.High ? 1 : 0;
  if (move & Move.Element) element = (instruction.immediate as u32) & (length / width - 1);
  const part = vector + element * width;
  if (move & Move.Store) {
    readVector(instruction.reg, vector, wide);
    storeTo(bus, instruction, part, width);
  } else {
    memory.fill(vector, 0, 32);
    if (move & (Move.Element | Move.Low | Move.High)) {
      readVector(instruction.vectorLength ? instruction.vectorSource : instruction.reg, vector, wide);
    }
    loadFrom(bus, instruction, part, width);
    if (move & Move.Broadcast) for (let at = width; at < length; at += width) memory.copy(vector + at, vector, width);
    // With VEX the rest of the register becomes zero, without it stays.
    writeVector(instruction.reg, vector, instruction.vectorLength != 0);
  }
  return finish(vcpu, instruction);
}

/** Whether the guest can use these registers now; if not, the exception for it is raised (Intel SDM 2A, 2.4). */
function isAvailable(vcpu: Vcpu, instruction: Instruction): bool {
  const cr0 = vcpu.cr0() as u32;
  const cr4 = vcpu.cr4() as u32;
  let enabled = !(cr0 & Cr0.Em) && (cr4 & Cr4.Osfxsr) != 0;
  if (instruction.vectorLength) {
    const protectedMode = (cr0 & Cr0.Pe) != 0 && !((vcpu.registers.rflags as u32) & Rflags.Vm);
    enabled = protectedMode && (cr4 & Cr4.Osxsave) != 0 && (readXcr0() & AVX_STATE) == AVX_STATE;
  }
  if (enabled && !(cr0 & Cr0.Ts)) return true;
  vcpu.raise(enabled ? Exception.DeviceNotAvailable : Exception.InvalidOpcode);
  return false;
}

function isAligned(vcpu: Vcpu, instruction: Instruction, width: u32): bool {
  const linear = vcpu.segmentBase(instruction.segment) + instruction.offset(vcpu.registers);
  if (!(linear & ((width - 1) as u64))) return true;
  vcpu.raiseWithError(Exception.GeneralProtection, 0);
  return false;
}

/** The instruction's memory operand to linear memory, at most 8 bytes at a time. */
function loadFrom(bus: MemoryBus, instruction: Instruction, to: usize, width: u32): void {
  const step = min<u32>(width, 8);
  for (let at: u32 = 0; at < width; at += step) {
    const value = instruction.memory.readPart(bus, at, step);
    if (step == 8) store<u64>(to + at, value);
    else if (step == 4) store<u32>(to, value as u32);
    else if (step == 2) store<u16>(to, value as u16);
    else store<u8>(to, value as u8);
  }
}

/** And back; what is beyond `step` bytes of a word does not reach the bus. */
function storeTo(bus: MemoryBus, instruction: Instruction, from: usize, width: u32): void {
  const step = min<u32>(width, 8);
  for (let at: u32 = 0; at < width; at += step) {
    instruction.memory.writePart(bus, at, step, truncate(load<u64>(from + at), step));
  }
}
