import { randomNumbers } from "./guest.ts";
import { DATA, type State, WINDOW_SIZE } from "./native.ts";

// The instructions that effects.test.ts compares with a real processor, and operands for them.

export const Flag = { Cf: 1n, Pf: 4n, Af: 16n, Zf: 64n, Sf: 128n, Df: 1024n, Of: 2048n } as const;
const STATUS = Flag.Cf | Flag.Pf | Flag.Af | Flag.Zf | Flag.Sf | Flag.Of;

/** An instruction with its operands, and the flags that the manual leaves undefined after it. */
export interface Case extends State {
  name: string;
  undefined: bigint;
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

const [RAX, RCX, RDX, RBX, RSP, RSI, RDI] = [0, 1, 2, 3, 4, 6, 7];

type Setup = (state: Case) => void;

/** Makes the cases of one mode. Memory operands are at rBX with a displacement of 8 bits, around a page border. */
export class CaseMaker {
  readonly cases: Case[] = [];
  private readonly random: () => number;

  constructor(private readonly bits: 32 | 64) {
    this.random = randomNumbers(bits + 0xface);
  }

  make(): Case[] {
    this.arithmetic();
    this.moves();
    this.shifts();
    this.bitTests();
    this.exchanges();
    this.conditions();
    this.stack();
    this.strings();
    return this.cases;
  }

  private pick<T>(from: readonly T[]): T {
    return from[this.random() % from.length]!;
  }
  private value(): bigint {
    const wide = (BigInt(this.random()) << 32n) | BigInt(this.random());
    return this.random() & 1 ? this.pick(INTERESTING) : wide >> BigInt(this.random() & 63);
  }

  private add(name: string, code: number[], undefinedFlags = 0n, setup?: Setup): void {
    const registers = Array.from({ length: 16 }, () => this.value());
    registers[RBX] = DATA;
    registers[RSP] = DATA;
    if (this.bits === 32) registers.forEach((value, i) => (registers[i] = i < 8 ? BigInt.asUintN(32, value) : 0n));
    const memory = new Uint8Array(WINDOW_SIZE);
    const view = new DataView(memory.buffer);
    for (let at = 0; at < WINDOW_SIZE; at += 8) view.setBigUint64(at, this.value());
    const flags = 0x202n | (BigInt(this.random()) & STATUS);
    const state: Case = { name, registers, flags, bits: this.bits, code, memory, undefined: undefinedFlags };
    setup?.(state);
    this.cases.push(state);
  }

  /** Prefixes that choose operand sizes and, in 64-bit mode, registers. */
  private get prefixes(): number[][] {
    if (this.bits === 32) return [[], [0x66]];
    return [[], [0x66], [0x48], [0x40], [0x44], [0x4c], [0x66, 0x44]];
  }

  /** An instruction with ModRM on memory, and with `alsoRegister` on registers, in every operand size. */
  private modRm(
    name: string,
    opcode: number[],
    { reg, immediate = 0, undefinedFlags = 0n, alsoRegister = true, aligned = false, lock = false, setup }: Options,
  ): void {
    for (const prefix of this.prefixes) {
      for (let i = 0; i < 3; i++) {
        // Not RBX as a register operand: it is the address.
        const field = reg ?? this.pick([0, 1, 2, 5, 6, 7]);
        const displacement = aligned ? this.pick([0, 16, 0xf0]) : this.pick([0, 8, 0x11, 0xff, 0xfe, 0xfd, 0xf9, 0xc0]);
        const size = immediate === 4 && prefix[0] === 0x66 ? 2 : immediate;
        const tail = Array.from({ length: size }, () => this.random() >>> 24);
        const start = [...(lock ? [0xf0] : []), ...prefix, ...opcode];
        const memory = [...start, 0x43 | (field << 3), displacement, ...tail];
        this.add(`${name} memory`, memory, undefinedFlags, setup);
        const register = [...start, 0xc0 | (field << 3) | this.pick([0, 1, 2, 5, 6, 7]), ...tail];
        if (alsoRegister && !lock) this.add(`${name} register`, register, undefinedFlags, setup);
      }
    }
  }

  private arithmetic(): void {
    const names = ["add", "or", "adc", "sbb", "and", "sub", "xor", "cmp"];
    names.forEach((name, i) => {
      const undefinedFlags = ["or", "and", "xor"].includes(name) ? Flag.Af : 0n;
      for (const form of [0, 1, 2, 3]) this.modRm(name, [i * 8 + form], { undefinedFlags });
      for (const [opcode, immediate] of [
        [0x80, 1],
        [0x81, 4],
        [0x83, 1],
      ] as const) {
        this.modRm(name, [opcode], { reg: i, immediate, undefinedFlags });
      }
      if (name !== "cmp") this.modRm(`lock ${name}`, [i * 8 + 1], { undefinedFlags, aligned: true, lock: true });
      this.accumulator(name, i * 8 + 4, undefinedFlags);
    });
    this.modRm("test", [0x84], { undefinedFlags: Flag.Af });
    this.modRm("test", [0x85], { undefinedFlags: Flag.Af });
    this.modRm("test", [0xf6], { reg: 0, immediate: 1, undefinedFlags: Flag.Af });
    this.modRm("test", [0xf7], { reg: 1, immediate: 4, undefinedFlags: Flag.Af });
    this.accumulator("test", 0xa8, Flag.Af);
    for (const wide of [0, 1]) {
      this.modRm("inc", [0xfe + wide], { reg: 0 });
      this.modRm("dec", [0xfe + wide], { reg: 1 });
      this.modRm("not", [0xf6 + wide], { reg: 2 });
      this.modRm("neg", [0xf6 + wide], { reg: 3 });
    }
  }

  private accumulator(name: string, opcode: number, undefinedFlags: bigint): void {
    for (let i = 0; i < 4; i++) {
      const tail = Array.from({ length: 4 }, () => this.random() >>> 24);
      this.add(`${name} AL`, [opcode, tail[0]!], undefinedFlags);
      this.add(`${name} AX`, [0x66, opcode + 1, ...tail.slice(2)], undefinedFlags);
      this.add(`${name} EAX`, [opcode + 1, ...tail], undefinedFlags);
      if (this.bits === 64) this.add(`${name} RAX`, [0x48, opcode + 1, ...tail], undefinedFlags);
    }
  }

  private moves(): void {
    for (const opcode of [0x88, 0x89, 0x8a, 0x8b]) this.modRm("mov", [opcode], {});
    this.modRm("mov", [0xc6], { reg: 0, immediate: 1 });
    this.modRm("mov", [0xc7], { reg: 0, immediate: 4 });
    for (const opcode of [0xb6, 0xb7]) this.modRm("movzx", [0x0f, opcode], {});
    for (const opcode of [0xbe, 0xbf]) this.modRm("movsx", [0x0f, opcode], {});
    if (this.bits === 64) this.modRm("movsxd", [0x63], {});
    for (const opcode of [0xf0, 0xf1]) this.modRm("movbe", [0x0f, 0x38, opcode], { alsoRegister: false });
    const wides = this.bits === 64 ? [[], [0x48], [0x44]] : [[]];
    for (const wide of wides) this.add("movnti", [...wide, 0x0f, 0xc3, 0x43, 0x10]);
    const address = [0x11, 0x10, 0x00, 0x20, ...(this.bits === 64 ? [0, 0, 0, 0] : [])];
    for (const opcode of [0xa0, 0xa1, 0xa2, 0xa3]) {
      for (const prefix of this.prefixes) this.add("mov offset", [...prefix, opcode, ...address]);
    }
    // Other addresses: with an index and all prefixes of size, and relative to RIP's or at a plain displacement
    const index: Setup = (state) => (state.registers[RCX] = 5n);
    this.add("mov index", [0x89, 0x54, 0x8b, 0x04], 0n, index);
    if (this.bits === 64) {
      this.add("mov addr32", [0x67, 0x89, 0x54, 0x8b, 0x04], 0n, (state) => {
        state.registers[RCX] = 0xffff_ffff_0000_0005n;
        state.registers[RBX] = DATA | 0x1234_0000_0000n;
      });
      this.add("mov RIP-relative", [0x8b, 0x05, 0x0a, 0x10, 0x00, 0x10]); // from CODE + 6
      this.add("mov RIP-relative", [0xc7, 0x05, 0x06, 0x10, 0x00, 0x10, 0x78, 0x56, 0x34, 0x12]); // from CODE + 10
    }
  }

  private shifts(): void {
    const rotates = ["rol", "ror", "rcl", "rcr"];
    const undefinedOf = (name: string, one: boolean) =>
      rotates.includes(name) ? (one ? 0n : Flag.Of) : one ? Flag.Af : Flag.Af | Flag.Of;
    [...rotates, "shl", "shr", "sal", "sar"].forEach((name, reg) => {
      for (const wide of [0, 1]) {
        const lossy = name.startsWith("sh") || name === "sal";
        this.modRm(name, [0xd0 + wide], { reg, undefinedFlags: undefinedOf(name, true) });
        // CF is undefined once a shift, not a rotate, moves out more bits than there are: below 8 for the test's bytes.
        for (let count = 0; count < 72; count += count < 9 ? 1 : 9) {
          const undefinedFlags = undefinedOf(name, false) | (lossy && count > 7 ? Flag.Cf : 0n);
          const setup: Setup = (state) => {
            state.registers[RCX] = BigInt(count) | 0xabc00n;
            if ((state.code.at(-1)! & 0xc7) === 0xc1) state.code[state.code.length - 1]! ^= 2;
            if (count === 0) state.undefined = 0n;
          };
          this.modRm(`${name} by CL`, [0xd2 + wide], { reg, undefinedFlags, setup });
        }
        this.modRm(name, [0xc0 + wide], {
          reg,
          immediate: 1,
          undefinedFlags: undefinedOf(name, false) | (lossy ? Flag.Cf : 0n),
        });
      }
    });
    for (const [name, opcode] of [
      ["shld", 0xa4],
      ["shrd", 0xac],
    ] as const) {
      for (let count = 0; count < 16; count++) {
        const undefinedFlags = count ? Flag.Af | Flag.Of : 0n;
        const setup: Setup = (state) => (state.code[state.code.length - 1] = count);
        this.modRm(name, [0x0f, opcode], { immediate: 1, undefinedFlags, setup });
        const byCl: Setup = (state) => {
          state.registers[RCX] = BigInt(count) | 0x55aa00n;
        };
        this.modRm(`${name} by CL`, [0x0f, opcode + 1], { undefinedFlags, setup: byCl });
      }
    }
  }

  private bitTests(): void {
    const undefinedFlags = Flag.Of | Flag.Sf | Flag.Af | Flag.Pf;
    ["bt", "bts", "btr", "btc"].forEach((name, i) => {
      this.modRm(name, [0x0f, 0xba], { reg: 4 + i, immediate: 1, undefinedFlags });
      const setup: Setup = (state) => {
        // Bit numbers that stay in memory: 480 bits to each side of the border
        const number = BigInt((this.random() % 960) - 480);
        state.registers.forEach((_, register) => {
          if (register === RBX || register === RSP) return;
          state.registers[register] = BigInt.asUintN(this.bits, number);
        });
      };
      this.modRm(name, [0x0f, 0xa3 + i * 8], { undefinedFlags, setup });
    });
  }

  private exchanges(): void {
    for (const wide of [0, 1]) {
      this.modRm("xchg", [0x86 + wide], { aligned: true });
      this.modRm("xadd", [0x0f, 0xc0 + wide], {});
      this.modRm("lock xadd", [0x0f, 0xc0 + wide], { aligned: true, lock: true });
      this.modRm("cmpxchg", [0x0f, 0xb0 + wide], {});
      const setup: Setup = (state) => {
        // Equal to what lies at every place
        const view = new DataView(state.memory.buffer);
        for (let at = 0; at < WINDOW_SIZE; at += 8) view.setBigUint64(at, 0x1111_1111_1111_1111n);
        state.registers[RAX] = 0x1111_1111_1111_1111n;
        if (this.bits === 32) state.registers[RAX] = 0x1111_1111n;
      };
      this.modRm("cmpxchg equal", [0x0f, 0xb0 + wide], { setup });
    }
    for (const equal of [false, true]) {
      for (const prefix of this.bits === 64 ? [[], [0x48]] : [[]]) {
        this.add("cmpxchg8b", [...prefix, 0x0f, 0xc7, 0x4b, 0xf0], 0n, (state) => {
          const view = new DataView(state.memory.buffer);
          const half = prefix.length ? 8 : 4;
          if (!equal) return;
          const word = (at: number) => (half === 8 ? view.getBigUint64(at, true) : BigInt(view.getUint32(at, true)));
          state.registers[RAX] = word(112);
          state.registers[RDX] = word(112 + half);
        });
      }
    }
  }

  private conditions(): void {
    for (let code = 0; code < 16; code++) {
      this.modRm("setcc", [0x0f, 0x90 + code], { reg: 0 });
      this.modRm("cmovcc", [0x0f, 0x40 + code], {});
    }
  }

  private stack(): void {
    const prefixes = this.bits === 64 ? [[], [0x66], [0x48]] : [[], [0x66]];
    for (const prefix of prefixes) {
      for (const displacement of [0, 8, 0x11, 0xf9, 0xc0]) {
        this.add("push memory", [...prefix, 0xff, 0x73, displacement]);
        this.add("pop memory", [...prefix, 0x8f, 0x43, displacement]);
        this.add("push [rSP]", [...prefix, 0xff, 0x74, 0x24, displacement]);
        this.add("pop [rSP]", [...prefix, 0x8f, 0x44, 0x24, displacement]);
      }
      for (let register = 0; register < 8; register++) {
        this.add("push", [...prefix, 0x50 + register]);
        this.add("pop", [...prefix, 0x58 + register]);
        if (this.bits === 64) this.add("push", [...prefix.filter((p) => p === 0x66), 0x41, 0x50 + register]);
      }
      this.add("push immediate", [...prefix, 0x6a, 0x85]);
      this.add("push immediate", [...prefix, 0x68, 0x85, 0x84, ...(prefix[0] === 0x66 ? [] : [0x83, 0x82])]);
    }
  }

  private strings(): void {
    const prefixes = this.bits === 64 ? [[], [0x66], [0x48], [0x67]] : [[], [0x66]];
    for (const prefix of prefixes) {
      for (const opcode of [0xa4, 0xa6, 0xaa, 0xac, 0xae]) {
        for (const wide of [0, 1]) {
          for (const repeat of [[], [0xf2], [0xf3]]) {
            for (const backwards of [false, true]) {
              this.add(`string ${(opcode + wide).toString(16)}`, [...repeat, ...prefix, opcode + wide], 0n, (state) => {
                state.registers[RCX] = BigInt(this.random() % 7);
                state.registers[RSI] = DATA + BigInt((this.random() & 31) - 8);
                state.registers[RDI] = DATA + BigInt((this.random() & 31) - 24);
                if (backwards) state.flags |= Flag.Df;
                if (this.random() & 1) state.memory.fill(this.random());
                if (this.random() & 1) state.registers[RAX] = BigInt(state.memory[0]!) * 0x0101_0101n;
              });
            }
          }
        }
      }
    }
  }
}

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
  setup?: Setup;
}
