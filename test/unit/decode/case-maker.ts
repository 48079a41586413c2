import { randomNumbers } from "./guest.ts";
import { DATA, DATA_16, type State, WINDOW_SIZE } from "./native.ts";

// Encodings and operands for instructions whose effects are compared with a processor's.

export const Flag = { Cf: 1n, Pf: 4n, Af: 16n, Zf: 64n, Sf: 128n, Df: 1024n, Of: 2048n } as const;
const STATUS = Flag.Cf | Flag.Pf | Flag.Af | Flag.Zf | Flag.Sf | Flag.Of;

export interface Case extends State {
  name: string;
}

const INTERESTING = [
  0n,
  1n,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffn,
  0x8000n,
  0xffffn,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  0x7fff_ffff_ffff_ffffn,
  0x8000_0000_0000_0000n,
  0xffff_ffff_ffff_ffffn,
];

export const Register = { Rax: 0, Rcx: 1, Rdx: 2, Rbx: 3, Rsp: 4, Rsi: 6, Rdi: 7 } as const;

export type Setup = (state: Case) => void;

interface Options {
  /** ModRM.reg where it is part of the opcode. */
  reg?: number;
  /** Bytes of immediate; 4 becomes 2 with an operand-size prefix. */
  immediate?: number;
  undefinedFlags?: bigint;
  alsoRegister?: boolean;
  /** Only naturally aligned addresses: locked accesses across cache lines stop the whole machine. */
  aligned?: boolean;
  lock?: boolean;
  /** Bytes that come before all prefixes of size. */
  lead?: number[];
  /** Cases of each size. */
  samples?: number;
  setup?: Setup;
}

/** Makes the cases of one mode. Memory operands are at rBX with a displacement of 8 bits, around a page border. */
export abstract class CaseMaker {
  readonly cases: Case[] = [];
  protected readonly random: () => number;

  constructor(protected readonly bits: 16 | 32 | 64) {
    this.random = randomNumbers(bits + 0xface);
  }

  /** The middle of the memory as an offset in its segment, as rBX and rSP have it. */
  protected get data(): bigint {
    return this.bits === 16 ? DATA_16 : DATA;
  }
  /** ModRM with a memory operand at rBX and a displacement of 8 bits. */
  protected modRmOf(reg: number): number {
    return 0x40 | (reg << 3) | (this.bits === 16 ? 7 : 3);
  }
  /** Bytes of an immediate operand of up to 32 bits. */
  protected immediateSize(prefix: number[]): number {
    return prefix.includes(0x66) === (this.bits === 16) ? 4 : 2;
  }
  /** A prefix for addresses of 32 bits where they are not usual. */
  protected get address32(): number[] {
    return this.bits === 16 ? [0x67] : [];
  }

  private pick<T>(from: readonly T[]): T {
    return from[this.random() % from.length]!;
  }
  private value(): bigint {
    const wide = (BigInt(this.random()) << 32n) | BigInt(this.random());
    return this.random() & 1 ? this.pick(INTERESTING) : wide >> BigInt(this.random() & 63);
  }

  protected add(name: string, code: number[], undefinedFlags = 0n, setup?: Setup): void {
    const registers = Array.from({ length: 16 }, () => this.value());
    registers[Register.Rbx] = this.data;
    registers[Register.Rsp] = this.data;
    if (this.bits !== 64) registers.forEach((value, i) => (registers[i] = i < 8 ? BigInt.asUintN(32, value) : 0n));
    const memory = new Uint8Array(WINDOW_SIZE);
    const view = new DataView(memory.buffer);
    for (let at = 0; at < WINDOW_SIZE; at += 8) view.setBigUint64(at, this.value());
    const flags = 0x202n | (BigInt(this.random()) & STATUS);
    const vectors = Uint8Array.from({ length: 16 * 32 }, () => this.random() >>> 24);
    const state: Case = { name, registers, flags, bits: this.bits, code, memory, vectors, undefined: undefinedFlags };
    setup?.(state);
    this.cases.push(state);
  }

  /** Prefixes that choose operand sizes and, in 64-bit mode, registers. */
  protected get prefixes(): number[][] {
    if (this.bits !== 64) return [[], [0x66]];
    return [[], [0x66], [0x48], [0x40], [0x44], [0x4c], [0x66, 0x44]];
  }

  /** An instruction with ModRM on memory, and with `alsoRegister` on registers, in every operand size. */
  protected modRm(
    name: string,
    opcode: number[],
    {
      reg,
      immediate = 0,
      undefinedFlags = 0n,
      alsoRegister = true,
      aligned = false,
      lock = false,
      lead = [],
      samples = 3,
      setup,
    }: Options,
  ): void {
    for (const prefix of this.prefixes) {
      for (let i = 0; i < samples; i++) {
        // Not Register.Rbx as a register operand: it is the address.
        const field = reg ?? this.pick([0, 1, 2, 5, 6, 7]);
        const displacement = aligned ? this.pick([0, 16, 0xf0]) : this.pick([0, 8, 0x11, 0xff, 0xfe, 0xfd, 0xf9, 0xc0]);
        const size = immediate === 4 ? this.immediateSize(prefix) : immediate;
        const tail = Array.from({ length: size }, () => this.random() >>> 24);
        const start = [...(lock ? [0xf0] : []), ...lead, ...prefix, ...opcode];
        const memory = [...start, this.modRmOf(field), displacement, ...tail];
        this.add(`${name} memory`, memory, undefinedFlags, setup);
        const register = [...start, 0xc0 | (field << 3) | this.pick([0, 1, 2, 5, 6, 7]), ...tail];
        if (alsoRegister && !lock) this.add(`${name} register`, register, undefinedFlags, setup);
      }
    }
  }
}
