import { Registers } from "../vcpu/vcpu";
import { MemoryBus } from "./bus";
import { Form, Operation } from "./opcodes";
import { Outcome } from "./outcome";

/** Longest instruction in bytes (APM 3, 1.1). */
export const MAXIMUM_LENGTH: u32 = 15;

/** `base` or `index` of an address that has none. */
export const NO_REGISTER: i32 = -1;

/** The low `width` bytes of a value. */
export function truncate(value: u64, width: u32): u64 {
  return width == 8 ? value : value & (((1 as u64) << ((width as u64) << 3)) - 1);
}

/** The low `width` bytes of a value, sign-extended to 64 bits. */
export function signExtend(value: u64, width: u32): u64 {
  const unused = (64 - (width << 3)) as u64;
  return (((value << unused) as i64) >> (unused as i64)) as u64;
}

/** Bits of a REX prefix. */
export const enum Rex {
  B = 1 << 0,
  X = 1 << 1,
  R = 1 << 2,
  W = 1 << 3,
}

/** Prefixes F2 and F3 as `repeat` keeps them. */
export const enum Repeat {
  None = 0,
  NotEqual = 0xf2,
  Equal = 0xf3,
}

/** A memory operand after segmentation and paging, up to 32 bytes: guest-physical, in two parts where it crosses into another page. */
export class MemoryOperand {
  first: u64 = 0;
  second: u64 = 0;
  /** Bytes that lie in the first page. */
  firstWidth: u32 = 0;
  width: u32 = 0;

  /** All of an operand of 1, 2, 4 or 8 bytes. */
  read(bus: MemoryBus): u64 {
    return this.readPart(bus, 0, this.width);
  }
  write(bus: MemoryBus, value: u64): void {
    this.writePart(bus, 0, this.width, value);
  }

  /** `width` bytes, 1, 2, 4 or 8, from the one at `offset` on. */
  readPart(bus: MemoryBus, offset: u32, width: u32): u64 {
    if (!this.isParted(offset, width)) return truncate(bus.read(this.address(offset), width), width);
    let value: u64 = 0;
    for (let i: u32 = 0; i < width; i++) {
      value |= (bus.read(this.address(offset + i), 1) & 0xff) << ((i as u64) << 3);
    }
    return value;
  }
  writePart(bus: MemoryBus, offset: u32, width: u32, value: u64): void {
    if (!this.isParted(offset, width)) return bus.write(this.address(offset), width, value);
    for (let i: u32 = 0; i < width; i++) {
      bus.write(this.address(offset + i), 1, (value >> ((i as u64) << 3)) & 0xff);
    }
  }

  private isParted(offset: u32, width: u32): bool {
    return offset < this.firstWidth && offset + width > this.firstWidth;
  }
  private address(offset: u32): u64 {
    return offset < this.firstWidth ? this.first + (offset as u64) : this.second + ((offset - this.firstWidth) as u64);
  }
}

/**
 * One instruction taken apart, as APM 3 chapter 1 names its parts, and the operands it came to have while carried out.
 * Every guest processor owns one, made at boot: processors decode at the same time and nothing is allocated then.
 */
export class Instruction {
  /** The bytes at RIP, as far as they were fetched. */
  readonly bytes: StaticArray<u8> = new StaticArray<u8>(16);
  fetched: u32 = 0;
  /** Bytes decoded so far; in the end the instruction's length. */
  length: u32 = 0;
  /** Done, or why fetching stopped: bytes read as 0 from then on. */
  fetchOutcome: Outcome = Outcome.Done;

  /** 16, 32 or 64, from the code segment. */
  codeBits: u32 = 0;
  /** Widths in bytes: of operands that follow the operand-size prefix and REX.W, and of address offsets. */
  operandSize: u32 = 0;
  addressSize: u32 = 0;
  /** The REX prefix, 40 to 4F, or what a VEX prefix says in its place; else 0. */
  rex: u32 = 0;
  operandPrefix: bool = false;
  addressPrefix: bool = false;
  lock: bool = false;
  repeat: Repeat = Repeat.None;
  /** A segment-override prefix that counts, or -1. */
  segmentOverride: i32 = -1;
  /** Bytes of the vector that a VEX prefix names, 16 or 32; 0 without one. */
  vectorLength: u32 = 0;
  /** VEX.vvvv as a register number. */
  vectorSource: u32 = 0;

  /** The last opcode byte; bits above tell the opcode map (OpcodeMap). */
  opcode: u32 = 0;
  operation: Operation = Operation.Unknown;
  form: Form = Form.Own;
  /** Width of the operation in bytes. */
  width: u32 = 0;

  /** Whether the r/m operand is in memory. */
  inMemory: bool = false;
  mod: u32 = 0;
  /** Register numbers, extended by REX.R and REX.B. */
  reg: u32 = 0;
  rm: u32 = 0;

  /** The offset in `segment`: base + index << scale + displacement. */
  segment: u32 = 0;
  ripRelative: bool = false;
  base: i32 = NO_REGISTER;
  index: i32 = NO_REGISTER;
  scale: u32 = 0;
  displacement: u64 = 0;
  /** Sign-extended to 64 bits. */
  immediate: u64 = 0;

  /** The processor has checked the guest's right to the port. */
  portChecked: bool = false;

  /** Status flags while the instruction is carried out. */
  flags: u32 = 0;
  readonly memory: MemoryOperand = new MemoryOperand();
  /** A vector register on its way. */
  readonly vector: StaticArray<u8> = new StaticArray<u8>(32);
  /** The second memory operand of string and stack instructions. */
  readonly other: MemoryOperand = new MemoryOperand();

  /** The operand's offset in its segment, before the segment's base is added. */
  offset(registers: Registers): u64 {
    let offset = this.displacement;
    if (this.base != NO_REGISTER) offset += registers.get(this.base);
    if (this.index != NO_REGISTER) offset += registers.get(this.index) << (this.scale as u64);
    return truncate(offset, this.addressSize);
  }
}
