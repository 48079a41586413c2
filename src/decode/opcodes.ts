/**
 * What the decoder knows of each opcode (APM 3, appendix A), kept in opcode-maps.ts: one word an opcode,
 *
 *     16       15      14       13:11       10:8   7:0
 *     Invalid  Byte    ModRm    Immediate   Form   Operation or Group
 *     in 64-bit mode
 *
 * Shapes are complete for the legacy maps and VEX, so that lengths are; only some operations are carried out. EVEX, XOP
 * and 3DNow! encodings are Operation.Unknown.
 */
export const enum Operation {
  Unknown,
  /** A known length; of these, only what vector.ts and bits.ts know is carried out. */
  Other,
  /** MOV to and from control and debug registers: ModRM.mod is not looked at. */
  MoveControl,
  /** LOCK, where it is allowed: everything from Add to Xor and from Bts to Cmpxchg8b. */
  Add = 8,
  Or,
  Adc,
  Sbb,
  And,
  Sub,
  Xor,
  Cmp,
  Rol,
  Ror,
  Rcl,
  Rcr,
  Shl,
  Shr,
  Sal,
  Sar,
  Test,
  Mov,
  MoveSegment,
  Movbe,
  Movzx,
  Movsx,
  Movsxd,
  Setcc,
  Cmovcc,
  Push,
  Pop,
  Shld,
  Shrd,
  Movs,
  Cmps,
  Stos,
  Lods,
  Scas,
  Ins,
  Outs,
  /** With two operands or three. */
  Imul,
  Mul,
  /** Of rAX into rDX:rAX. */
  ImulWide,
  Div,
  Idiv,
  Bsf,
  Bsr,
  Popcnt,
  Bt,
  Bts,
  Btr,
  Btc,
  Inc,
  Dec,
  Not,
  Neg,
  Xchg,
  Xadd,
  Cmpxchg,
  Cmpxchg8b,
  /** From here on ModRM.reg chooses the operation, from GROUPS. */
  Group1 = 64,
  Group1a,
  Group2,
  Group3,
  Group4,
  Group5,
  Group8,
  Group9,
  Group11,
}

/** Where the operands are: E is the r/m operand, G the register of ModRM.reg, A is rAX, I an immediate. */
export const enum Form {
  /** The operation knows. */
  Own,
  EG,
  GE,
  EI,
  AI,
  /** Shifts by 1 and by CL. */
  E1,
  ECl,
  E,
}

export const enum Immediate {
  None,
  Byte,
  Word,
  /** 16 bits, or 32 sign-extended for operands of 32 and 64 bits. */
  Z,
  /** As wide as the operand. */
  V,
  /** The offset of a memory operand, as wide as addresses. */
  Offset,
  /** A far pointer. */
  Far,
  /** ENTER: 16 bits and 8 bits. */
  Enter,
}

export const FORM_SHIFT: u32 = 8;
export const IMMEDIATE_SHIFT: u32 = 11;
export const MODRM: u32 = 1 << 14;
export const BYTE: u32 = 1 << 15;
export const INVALID_64: u32 = 1 << 16;

/** Stores that have no 16-bit operands. */
export const MOVNTI: u32 = 0x0fc3;
export const MOVDIRI: u32 = 0x0f38f9;
export function isWideStore(opcode: u32): bool {
  return opcode == MOVNTI || opcode == MOVDIRI;
}

/** Opcode maps, as `Instruction.opcode` has them above the last byte. */
export const enum OpcodeMap {
  One = 0,
  Two = 0x0f00,
  Three38 = 0x0f3800,
  Three3a = 0x0f3a00,
}
