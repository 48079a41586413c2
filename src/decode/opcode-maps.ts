import {
  BYTE,
  FORM_SHIFT,
  Form,
  IMMEDIATE_SHIFT,
  INVALID_64,
  Immediate,
  MODRM,
  MOVDIRI,
  MOVNTI,
  OpcodeMap,
  Operation,
} from "./opcodes";

// Operands by the letters of APM 3, appendix A.

const IB: u32 = Immediate.Byte << IMMEDIATE_SHIFT;
const IW: u32 = Immediate.Word << IMMEDIATE_SHIFT;
const IZ: u32 = Immediate.Z << IMMEDIATE_SHIFT;
const IV: u32 = Immediate.V << IMMEDIATE_SHIFT;
const OFFSET: u32 = Immediate.Offset << IMMEDIATE_SHIFT;
const FAR: u32 = Immediate.Far << IMMEDIATE_SHIFT;
const ENTER: u32 = Immediate.Enter << IMMEDIATE_SHIFT;

const E: u32 = MODRM | (Form.E << FORM_SHIFT);
const E_G: u32 = MODRM | (Form.EG << FORM_SHIFT);
const G_E: u32 = MODRM | (Form.GE << FORM_SHIFT);
const E_I: u32 = MODRM | (Form.EI << FORM_SHIFT);
const E_1: u32 = MODRM | (Form.E1 << FORM_SHIFT);
const E_CL: u32 = MODRM | (Form.ECl << FORM_SHIFT);
const A_I: u32 = Form.AI << FORM_SHIFT;

const MAP_ONE: StaticArray<u32> = new StaticArray<u32>(256);
const MAP_TWO: StaticArray<u32> = new StaticArray<u32>(256);
const MAP_38: StaticArray<u32> = new StaticArray<u32>(256);

/** Operations of the groups by ModRM.reg (APM 3, table A-6). */
// prettier-ignore
const GROUPS: StaticArray<Operation> = [
  Operation.Add, Operation.Or, Operation.Adc, Operation.Sbb, Operation.And, Operation.Sub, Operation.Xor, Operation.Cmp,
  Operation.Pop, 0, 0, 0, 0, 0, 0, 0,
  Operation.Rol, Operation.Ror, Operation.Rcl, Operation.Rcr, Operation.Shl, Operation.Shr, Operation.Sal, Operation.Sar,
  Operation.Test, Operation.Test, Operation.Not, Operation.Neg, Operation.Mul, Operation.ImulWide, Operation.Div, Operation.Idiv,
  Operation.Inc, Operation.Dec, 0, 0, 0, 0, 0, 0,
  Operation.Inc, Operation.Dec, Operation.Other, Operation.Other, Operation.Other, Operation.Other, Operation.Push, 0,
  0, 0, 0, 0, Operation.Bt, Operation.Bts, Operation.Btr, Operation.Btc,
  0, Operation.Cmpxchg8b, 0, Operation.Other, Operation.Other, Operation.Other, Operation.Other, Operation.Other,
  Operation.Mov, 0, 0, 0, 0, 0, 0, 0,
];

/** The word for an opcode of a map; 0 if it is unknown. */
export function lookUp(opcode: u32): u32 {
  const last = opcode & 0xff;
  switch (opcode & ~0xff) {
    case OpcodeMap.One:
      return unchecked(MAP_ONE[last]);
    case OpcodeMap.Two:
      return unchecked(MAP_TWO[last]);
    case OpcodeMap.Three38:
      return unchecked(MAP_38[last]);
    default:
      return MODRM | IB | Operation.Other;
  }
}

/** The same for an opcode that follows a VEX prefix: all but VZEROALL and VZEROUPPER have ModRM, some an immediate (APM 4). */
export function lookUpVex(opcode: u32): u32 {
  if (opcode == 0x0f77) return Operation.Other;
  const last = opcode & 0xff;
  const shuffles = (last >= 0x70 && last <= 0x73) || last == 0xc2 || (last >= 0xc4 && last <= 0xc6);
  const immediate = (opcode & ~0xff) == OpcodeMap.Two ? shuffles : (opcode & ~0xff) == OpcodeMap.Three3a;
  return Operation.Other | MODRM | (immediate ? IB : 0);
}

export function groupOperation(group: Operation, reg: u32): Operation {
  return unchecked(GROUPS[(((group - Operation.Group1) as u32) << 3) | (reg & 7)]);
}

function range(map: StaticArray<u32>, from: u32, to: u32, word: u32): void {
  for (let opcode = from; opcode <= to; opcode++) unchecked((map[opcode] = word));
}

/** An operation at an even opcode on bytes, at the odd one after it on words. */
function pair(map: StaticArray<u32>, opcode: u32, word: u32): void {
  unchecked((map[opcode] = word | BYTE));
  unchecked((map[opcode + 1] = word));
}

function fillMapOne(map: StaticArray<u32>): void {
  for (let i: u32 = 0; i < 8; i++) {
    const operation: u32 = Operation.Add + i;
    pair(map, i << 3, operation | E_G);
    pair(map, (i << 3) | 2, operation | G_E);
    unchecked((map[(i << 3) | 4] = operation | A_I | IB | BYTE));
    unchecked((map[(i << 3) | 5] = operation | A_I | IZ));
    range(map, (i << 3) | 6, (i << 3) | 7, Operation.Other | INVALID_64);
  }
  range(map, 0x40, 0x4f, Operation.Other | INVALID_64); // REX in 64-bit mode
  range(map, 0x50, 0x57, Operation.Push | (Form.E << FORM_SHIFT));
  range(map, 0x58, 0x5f, Operation.Pop | (Form.E << FORM_SHIFT));
  range(map, 0x60, 0x61, Operation.Other | INVALID_64);
  range(map, 0x62, 0x62, Operation.Other | MODRM | INVALID_64);
  range(map, 0x63, 0x63, Operation.Movsxd | G_E);
  range(map, 0x68, 0x68, Operation.Push | A_I | IZ);
  range(map, 0x69, 0x69, Operation.Imul | G_E | IZ);
  range(map, 0x6a, 0x6a, Operation.Push | A_I | IB);
  range(map, 0x6b, 0x6b, Operation.Imul | G_E | IB);
  pair(map, 0x6c, Operation.Ins);
  pair(map, 0x6e, Operation.Outs);
  range(map, 0x70, 0x7f, Operation.Other | IB);
  pair(map, 0x80, Operation.Group1 | E_I | IB);
  range(map, 0x81, 0x81, Operation.Group1 | E_I | IZ);
  range(map, 0x82, 0x82, Operation.Group1 | E_I | IB | BYTE | INVALID_64);
  range(map, 0x83, 0x83, Operation.Group1 | E_I | IB);
  pair(map, 0x84, Operation.Test | E_G);
  pair(map, 0x86, Operation.Xchg | E_G);
  pair(map, 0x88, Operation.Mov | E_G);
  pair(map, 0x8a, Operation.Mov | G_E);
  range(map, 0x8c, 0x8c, Operation.MoveSegment | MODRM);
  range(map, 0x8d, 0x8e, Operation.Other | MODRM);
  range(map, 0x8f, 0x8f, Operation.Group1a | E);
  range(map, 0x90, 0x9f, Operation.Other);
  range(map, 0x9a, 0x9a, Operation.Other | FAR | INVALID_64);
  pair(map, 0xa0, Operation.Mov | (Form.GE << FORM_SHIFT) | OFFSET);
  pair(map, 0xa2, Operation.Mov | (Form.EG << FORM_SHIFT) | OFFSET);
  pair(map, 0xa4, Operation.Movs);
  pair(map, 0xa6, Operation.Cmps);
  range(map, 0xa8, 0xa8, Operation.Test | A_I | IB | BYTE);
  range(map, 0xa9, 0xa9, Operation.Test | A_I | IZ);
  pair(map, 0xaa, Operation.Stos);
  pair(map, 0xac, Operation.Lods);
  pair(map, 0xae, Operation.Scas);
  range(map, 0xb0, 0xb7, Operation.Other | IB);
  range(map, 0xb8, 0xbf, Operation.Other | IV);
  pair(map, 0xc0, Operation.Group2 | E_I | IB);
  range(map, 0xc2, 0xc2, Operation.Other | IW);
  range(map, 0xc3, 0xc3, Operation.Other);
  range(map, 0xc4, 0xc5, Operation.Other | MODRM | INVALID_64);
  range(map, 0xc6, 0xc6, Operation.Group11 | E_I | IB | BYTE);
  range(map, 0xc7, 0xc7, Operation.Group11 | E_I | IZ);
  range(map, 0xc8, 0xc8, Operation.Other | ENTER);
  range(map, 0xc9, 0xcf, Operation.Other);
  range(map, 0xca, 0xca, Operation.Other | IW);
  range(map, 0xcd, 0xcd, Operation.Other | IB);
  range(map, 0xce, 0xce, Operation.Other | INVALID_64);
  pair(map, 0xd0, Operation.Group2 | E_1);
  pair(map, 0xd2, Operation.Group2 | E_CL);
  range(map, 0xd4, 0xd5, Operation.Other | IB | INVALID_64);
  range(map, 0xd6, 0xd6, Operation.Other | INVALID_64);
  range(map, 0xd7, 0xd7, Operation.Other);
  range(map, 0xd8, 0xdf, Operation.Other | MODRM);
  range(map, 0xe0, 0xe7, Operation.Other | IB);
  range(map, 0xe8, 0xe9, Operation.Other | IZ);
  range(map, 0xea, 0xea, Operation.Other | FAR | INVALID_64);
  range(map, 0xeb, 0xeb, Operation.Other | IB);
  range(map, 0xec, 0xf5, Operation.Other);
  pair(map, 0xf6, Operation.Group3 | E);
  range(map, 0xf8, 0xfd, Operation.Other);
  range(map, 0xfe, 0xfe, Operation.Group4 | E | BYTE);
  range(map, 0xff, 0xff, Operation.Group5 | E);
}

function fillMapTwo(map: StaticArray<u32>): void {
  range(map, 0x00, 0xfe, Operation.Other | MODRM);
  range(map, 0x04, 0x0c, Operation.Unknown);
  range(map, 0x05, 0x09, Operation.Other);
  range(map, 0x0b, 0x0b, Operation.Other);
  range(map, 0x0e, 0x0e, Operation.Other);
  range(map, 0x0f, 0x0f, Operation.Unknown);
  range(map, 0x20, 0x23, Operation.MoveControl | MODRM);
  range(map, 0x24, 0x27, Operation.Unknown);
  range(map, 0x30, 0x37, Operation.Other);
  range(map, 0x36, 0x36, Operation.Unknown);
  range(map, 0x38, 0x3f, Operation.Unknown);
  range(map, 0x40, 0x4f, Operation.Cmovcc | G_E);
  range(map, 0x70, 0x73, Operation.Other | MODRM | IB);
  range(map, 0x77, 0x77, Operation.Other);
  range(map, 0x78, 0x7b, Operation.Unknown);
  range(map, 0x80, 0x8f, Operation.Other | IZ);
  range(map, 0x90, 0x9f, Operation.Setcc | E | BYTE);
  range(map, 0xa0, 0xa2, Operation.Other);
  range(map, 0xa3, 0xa3, Operation.Bt | E_G);
  range(map, 0xa4, 0xa4, Operation.Shld | MODRM | IB);
  range(map, 0xa5, 0xa5, Operation.Shld | MODRM);
  range(map, 0xa6, 0xa7, Operation.Unknown);
  range(map, 0xa8, 0xaa, Operation.Other);
  range(map, 0xab, 0xab, Operation.Bts | E_G);
  range(map, 0xac, 0xac, Operation.Shrd | MODRM | IB);
  range(map, 0xad, 0xad, Operation.Shrd | MODRM);
  range(map, 0xaf, 0xaf, Operation.Imul | G_E);
  pair(map, 0xb0, Operation.Cmpxchg | E_G);
  range(map, 0xb3, 0xb3, Operation.Btr | E_G);
  pair(map, 0xb6, Operation.Movzx | G_E);
  range(map, 0xb8, 0xb8, Operation.Popcnt | G_E);
  range(map, 0xba, 0xba, Operation.Group8 | E_I | IB);
  range(map, 0xbb, 0xbb, Operation.Btc | E_G);
  range(map, 0xbc, 0xbc, Operation.Bsf | G_E);
  range(map, 0xbd, 0xbd, Operation.Bsr | G_E);
  pair(map, 0xbe, Operation.Movsx | G_E);
  pair(map, 0xc0, Operation.Xadd | E_G);
  range(map, 0xc2, 0xc2, Operation.Other | MODRM | IB);
  range(map, MOVNTI & 0xff, MOVNTI & 0xff, Operation.Mov | E_G);
  range(map, 0xc4, 0xc6, Operation.Other | MODRM | IB);
  range(map, 0xc7, 0xc7, Operation.Group9 | E);
  range(map, 0xc8, 0xcf, Operation.Other);
}

function fillMap38(map: StaticArray<u32>): void {
  range(map, 0x00, 0xff, Operation.Other | MODRM);
  range(map, 0xf0, 0xf0, Operation.Movbe | G_E);
  range(map, 0xf1, 0xf1, Operation.Movbe | E_G);
  range(map, MOVDIRI & 0xff, MOVDIRI & 0xff, Operation.Mov | E_G);
}

fillMapOne(MAP_ONE);
fillMapTwo(MAP_TWO);
fillMap38(MAP_38);
