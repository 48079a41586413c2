import { BitCases } from "./bit-cases.ts";

/** A move between memory and a vector register, as APM 4 lists it. */
interface VectorMove {
  name: string;
  /** 66, F3 or F2; as VEX.pp in an encoding with VEX. */
  prefix?: 0x66 | 0xf3 | 0xf2;
  /** Without the leading 0F. */
  opcode: number[];
  immediate?: boolean;
  /** The address must be a multiple of the vector's length. */
  aligned?: boolean;
  /** VEX.vvvv is a source. */
  merges?: boolean;
  /** Of the vector, as VEX.L has it. */
  lengths: (16 | 32)[];
  vexOnly?: boolean;
}

const both: (16 | 32)[] = [16, 32];
const scalar: (16 | 32)[] = [16];

const MOVES: VectorMove[] = [
  { name: "movups", opcode: [0x10], lengths: both },
  { name: "movups", opcode: [0x11], lengths: both },
  { name: "movupd", prefix: 0x66, opcode: [0x10], lengths: both },
  { name: "movupd", prefix: 0x66, opcode: [0x11], lengths: both },
  { name: "movss", prefix: 0xf3, opcode: [0x10], lengths: scalar },
  { name: "movss", prefix: 0xf3, opcode: [0x11], lengths: scalar },
  { name: "movsd", prefix: 0xf2, opcode: [0x10], lengths: scalar },
  { name: "movsd", prefix: 0xf2, opcode: [0x11], lengths: scalar },
  { name: "movlps", opcode: [0x12], lengths: scalar, merges: true },
  { name: "movlps", opcode: [0x13], lengths: scalar },
  { name: "movlpd", prefix: 0x66, opcode: [0x12], lengths: scalar, merges: true },
  { name: "movlpd", prefix: 0x66, opcode: [0x13], lengths: scalar },
  { name: "movddup", prefix: 0xf2, opcode: [0x12], lengths: scalar },
  { name: "movhps", opcode: [0x16], lengths: scalar, merges: true },
  { name: "movhps", opcode: [0x17], lengths: scalar },
  { name: "movhpd", prefix: 0x66, opcode: [0x16], lengths: scalar, merges: true },
  { name: "movhpd", prefix: 0x66, opcode: [0x17], lengths: scalar },
  { name: "movaps", opcode: [0x28], lengths: both, aligned: true },
  { name: "movaps", opcode: [0x29], lengths: both, aligned: true },
  { name: "movapd", prefix: 0x66, opcode: [0x28], lengths: both, aligned: true },
  { name: "movapd", prefix: 0x66, opcode: [0x29], lengths: both, aligned: true },
  { name: "movntps", opcode: [0x2b], lengths: both, aligned: true },
  { name: "movntpd", prefix: 0x66, opcode: [0x2b], lengths: both, aligned: true },
  { name: "movd/movq", prefix: 0x66, opcode: [0x6e], lengths: scalar },
  { name: "movd/movq", prefix: 0x66, opcode: [0x7e], lengths: scalar },
  { name: "movdqa", prefix: 0x66, opcode: [0x6f], lengths: both, aligned: true },
  { name: "movdqa", prefix: 0x66, opcode: [0x7f], lengths: both, aligned: true },
  { name: "movdqu", prefix: 0xf3, opcode: [0x6f], lengths: both },
  { name: "movdqu", prefix: 0xf3, opcode: [0x7f], lengths: both },
  { name: "movq", prefix: 0xf3, opcode: [0x7e], lengths: scalar },
  { name: "movq", prefix: 0x66, opcode: [0xd6], lengths: scalar },
  { name: "movntdq", prefix: 0x66, opcode: [0xe7], lengths: both, aligned: true },
  { name: "movntdqa", prefix: 0x66, opcode: [0x38, 0x2a], lengths: both, aligned: true },
  { name: "lddqu", prefix: 0xf2, opcode: [0xf0], lengths: both },
  { name: "pinsrw", prefix: 0x66, opcode: [0xc4], immediate: true, lengths: scalar, merges: true },
  { name: "pinsrb", prefix: 0x66, opcode: [0x3a, 0x20], immediate: true, lengths: scalar, merges: true },
  { name: "pinsrd/q", prefix: 0x66, opcode: [0x3a, 0x22], immediate: true, lengths: scalar, merges: true },
  { name: "pextrb", prefix: 0x66, opcode: [0x3a, 0x14], immediate: true, lengths: scalar },
  { name: "pextrw", prefix: 0x66, opcode: [0x3a, 0x15], immediate: true, lengths: scalar },
  { name: "pextrd/q", prefix: 0x66, opcode: [0x3a, 0x16], immediate: true, lengths: scalar },
  { name: "extractps", prefix: 0x66, opcode: [0x3a, 0x17], immediate: true, lengths: scalar },
  { name: "broadcastss", prefix: 0x66, opcode: [0x38, 0x18], lengths: both, vexOnly: true },
  { name: "broadcastsd", prefix: 0x66, opcode: [0x38, 0x19], lengths: [32], vexOnly: true },
  { name: "broadcastf128", prefix: 0x66, opcode: [0x38, 0x1a], lengths: [32], vexOnly: true },
  { name: "pbroadcastd", prefix: 0x66, opcode: [0x38, 0x58], lengths: both, vexOnly: true },
  { name: "pbroadcastq", prefix: 0x66, opcode: [0x38, 0x59], lengths: both, vexOnly: true },
  { name: "broadcasti128", prefix: 0x66, opcode: [0x38, 0x5a], lengths: [32], vexOnly: true },
  { name: "pbroadcastb", prefix: 0x66, opcode: [0x38, 0x78], lengths: both, vexOnly: true },
  { name: "pbroadcastw", prefix: 0x66, opcode: [0x38, 0x79], lengths: both, vexOnly: true },
  {
    name: "insertf128",
    prefix: 0x66,
    opcode: [0x3a, 0x18],
    immediate: true,
    lengths: [32],
    merges: true,
    vexOnly: true,
  },
  { name: "extractf128", prefix: 0x66, opcode: [0x3a, 0x19], immediate: true, lengths: [32], vexOnly: true },
  {
    name: "inserti128",
    prefix: 0x66,
    opcode: [0x3a, 0x38],
    immediate: true,
    lengths: [32],
    merges: true,
    vexOnly: true,
  },
  { name: "extracti128", prefix: 0x66, opcode: [0x3a, 0x39], immediate: true, lengths: [32], vexOnly: true },
];

/** Moves of vector registers, without VEX and with it. */
export abstract class VectorCases extends BitCases {
  protected vectors(): void {
    for (const move of MOVES.filter(({ vexOnly }) => vexOnly !== true)) {
      const prefix = move.prefix === undefined ? [] : [move.prefix];
      const rexes = this.bits === 64 ? [[], [0x44], [0x4c]] : [[]];
      for (const rex of rexes) {
        for (let i = 0; i < 3; i++) this.move(move, [...prefix, ...rex, 0x0f, ...move.opcode], 16);
      }
    }
  }

  protected vexVectors(): void {
    for (const move of MOVES) {
      for (const length of move.lengths) {
        for (const wide of move.name.includes("/") && this.bits === 64 ? [0, 1] : [0]) {
          for (let i = 0; i < 4; i++) this.move(move, [...this.vex(move, length, wide), move.opcode.at(-1)!], length);
        }
      }
    }
  }

  /** The prefix with a random register in VEX.R and, if it counts, in VEX.vvvv; in two bytes where those are enough. */
  private vex({ prefix, opcode, merges }: VectorMove, length: number, wide: number): number[] {
    const extension = this.bits === 64 ? (this.random() & 1) << 7 : 0x80; // ~R
    const source = merges === true ? this.random() & (this.bits === 64 ? 15 : 7) : 0;
    const pp = [undefined, 0x66, 0xf3, 0xf2].indexOf(prefix);
    const last = (wide << 7) | ((~source & 15) << 3) | (length === 32 ? 4 : 0) | pp;
    if (opcode.length === 1 && wide === 0 && this.random() & 1) return [0xc5, extension | last];
    const map = opcode.length === 1 ? 1 : opcode[0] === 0x38 ? 2 : 3;
    return [0xc4, extension | 0x60 | map, last];
  }

  private move({ name, aligned, immediate }: VectorMove, start: number[], length: number): void {
    const places = aligned === true ? [0, 0x20, 0xe0, 0xc0] : [0, 8, 0x11, 0xff, 0xf9, 0xf1, 0xe1, 0xc0];
    const displacement = places[this.random() % places.length]!;
    const modRm = this.modRmOf(this.random() & 7);
    const vexed = start[0] === 0xc4 || start[0] === 0xc5;
    const tail = immediate === true ? [this.random() >>> 24] : [];
    this.add(`${vexed ? "v" : ""}${name} ${length}`, [...start, modRm, displacement, ...tail]);
  }
}
