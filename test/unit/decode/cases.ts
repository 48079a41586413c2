import { type Case, Flag, Register, type Setup } from "./case-maker.ts";
import { DATA, WINDOW_SIZE } from "./native.ts";
import { VectorCases } from "./vector-cases.ts";

/** The processor that they are compared with. */
interface Processor {
  avx: boolean;
  /**
   * It is QEMU's, which lacks F6 /1, an alias of TEST, gives MOVBE and CRC32 the wrong operand size in 16-bit code, and has
   * BLSI's carry the wrong way round.
   */
  emulated: boolean;
  /** It lets them use ports. */
  privileged: boolean;
}

/** Ports that read the same each time, and that take anything. */
const CONFIG_ADDRESS = 0xcf8n;
const POST_CODE = 0x80n;

/** The instructions that are compared, in one mode. */
export class Cases extends VectorCases {
  make({ avx, emulated, privileged }: Processor): Case[] {
    this.arithmetic();
    if (!emulated) this.modRm("test", [0xf7], { reg: 1, immediate: 4, undefinedFlags: Flag.Af });
    if (!emulated || this.bits !== 16) this.swappingMoves();
    this.moves();
    this.multiplication();
    this.bitCounts();
    this.countedBits(emulated);
    this.shifts();
    this.bitTests();
    this.exchanges();
    this.conditions();
    this.stack();
    this.strings();
    if (privileged) {
      this.strings([0x6c], CONFIG_ADDRESS);
      this.strings([0x6e], POST_CODE);
    }
    this.vectors();
    if (avx) this.vexVectors();
    if (avx) this.pickedBits(emulated);
    return this.cases;
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
    this.modRm("test", [0xf7], { reg: 0, immediate: 4, undefinedFlags: Flag.Af });
    this.accumulator("test", 0xa8, Flag.Af);
    for (const wide of [0, 1]) {
      this.modRm("inc", [0xfe + wide], { reg: 0 });
      this.modRm("dec", [0xfe + wide], { reg: 1 });
      this.modRm("not", [0xf6 + wide], { reg: 2 });
      this.modRm("neg", [0xf6 + wide], { reg: 3 });
    }
  }

  private multiplication(): void {
    const undefinedFlags = Flag.Sf | Flag.Zf | Flag.Af | Flag.Pf;
    this.modRm("imul", [0x0f, 0xaf], { undefinedFlags, samples: 6 });
    this.modRm("imul", [0x69], { immediate: 4, undefinedFlags });
    this.modRm("imul", [0x6b], { immediate: 1, undefinedFlags });
    for (const wide of [0, 1]) {
      this.modRm("mul", [0xf6 + wide], { reg: 4, undefinedFlags, samples: 8 });
      this.modRm("imul", [0xf6 + wide], { reg: 5, undefinedFlags, samples: 8 });
      for (const [name, reg] of [["div", 6] as const, ["idiv", 7] as const]) {
        const setup: Setup = (state) => this.makeDivisible(state, name === "idiv");
        this.modRm(name, [0xf6 + wide], {
          reg,
          undefinedFlags: undefinedFlags | Flag.Cf | Flag.Of,
          alsoRegister: false,
          samples: 8,
          setup,
        });
      }
    }
  }

  /** Operands whose quotient has room in every width: divisors of bytes 41h to 7Fh or, signed, also 81h to BFh. */
  private makeDivisible(state: Case, signed: boolean): void {
    const negativeDivisor = signed && (this.random() & 1) === 1;
    state.memory.forEach((_, i) => (state.memory[i] = (negativeDivisor ? 0x81 : 0x41) + (this.random() % 0x3f)));
    const high = BigInt(this.random() % 0x1f);
    const wide = signed && this.random() & 1 ? ~high : high;
    const low = BigInt(this.random() & 0xff) | (BigInt.asUintN(8, wide) << 8n) | (BigInt(this.random()) << 32n);
    state.registers[Register.Rax] = BigInt.asUintN(
      this.bits === 64 ? 64 : 32,
      low | (BigInt(this.random() & 0xffff) << 16n),
    );
    state.registers[Register.Rdx] = BigInt.asUintN(this.bits === 64 ? 64 : 32, wide);
  }

  private bitCounts(): void {
    const undefinedFlags = Flag.Cf | Flag.Of | Flag.Sf | Flag.Af | Flag.Pf;
    // Of 0, what is left in the destination is not the same on all processors.
    const setup: Setup = (state) => state.memory.forEach((byte, i) => (state.memory[i] = byte | 0x10));
    this.modRm("bsf", [0x0f, 0xbc], { undefinedFlags, setup, alsoRegister: false });
    this.modRm("bsr", [0x0f, 0xbd], { undefinedFlags, setup, alsoRegister: false });
  }

  private accumulator(name: string, opcode: number, undefinedFlags: bigint): void {
    for (let i = 0; i < 4; i++) {
      const tail = Array.from({ length: 4 }, () => this.random() >>> 24);
      this.add(`${name} AL`, [opcode, tail[0]!], undefinedFlags);
      for (const prefix of this.bits === 64 ? [[], [0x66], [0x48]] : [[], [0x66]]) {
        this.add(`${name} rAX`, [...prefix, opcode + 1, ...tail.slice(4 - this.immediateSize(prefix))], undefinedFlags);
      }
    }
  }

  private moves(): void {
    for (const opcode of [0x88, 0x89, 0x8a, 0x8b]) this.modRm("mov", [opcode], {});
    this.modRm("mov", [0xc6], { reg: 0, immediate: 1 });
    this.modRm("mov", [0xc7], { reg: 0, immediate: 4 });
    for (const opcode of [0xb6, 0xb7]) this.modRm("movzx", [0x0f, opcode], {});
    for (const opcode of [0xbe, 0xbf]) this.modRm("movsx", [0x0f, opcode], {});
    if (this.bits === 64) this.modRm("movsxd", [0x63], {});
    const wides = this.bits === 64 ? [[], [0x48], [0x44]] : [[]];
    for (const wide of wides) this.add("movnti", [...wide, 0x0f, 0xc3, this.modRmOf(0), 0x10]);
    const address = { 16: [0x11, 0x80], 32: [0x11, 0x10, 0, 0x20], 64: [0x11, 0x10, 0, 0x20, 0, 0, 0, 0] }[this.bits];
    for (const opcode of [0xa0, 0xa1, 0xa2, 0xa3]) {
      for (const prefix of this.prefixes) this.add("mov offset", [...prefix, opcode, ...address]);
    }
    // Other addresses: with an index and all prefixes of size, and relative to RIP's or at a plain displacement
    const index: Setup = (state) => (state.registers[Register.Rcx] = 5n);
    this.add("mov index", [...this.address32, 0x89, 0x54, 0x8b, 0x04], 0n, index);
    if (this.bits === 64) {
      this.add("mov addr32", [0x67, 0x89, 0x54, 0x8b, 0x04], 0n, (state) => {
        state.registers[Register.Rcx] = 0xffff_ffff_0000_0005n;
        state.registers[Register.Rbx] = DATA | 0x1234_0000_0000n;
      });
      this.add("mov RIP-relative", [0x8b, 0x05, 0x0a, 0x10, 0x00, 0x10]); // from CODE + 6
      this.add("mov RIP-relative", [0xc7, 0x05, 0x06, 0x10, 0x00, 0x10, 0x78, 0x56, 0x34, 0x12]); // from CODE + 10
    }
  }

  private swappingMoves(): void {
    for (const opcode of [0xf0, 0xf1]) this.modRm("movbe", [0x0f, 0x38, opcode], { alsoRegister: false });
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
        for (const count of [0, 1, 2, 7, 8, 9, 15, 16, 17, 18, 31, 32, 33, 63, 64]) {
          const undefinedFlags = undefinedOf(name, false) | (lossy && count > 7 ? Flag.Cf : 0n);
          const setup: Setup = (state) => {
            state.registers[Register.Rcx] = BigInt(count) | 0xabc00n;
            if ((state.code.at(-1)! & 0xc7) === 0xc1) state.code[state.code.length - 1]! ^= 2;
            if (count === 0) state.undefined = 0n;
          };
          this.modRm(`${name} by CL`, [0xd2 + wide], { reg, undefinedFlags, setup, samples: 1 });
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
        this.modRm(name, [0x0f, opcode], { immediate: 1, undefinedFlags, setup, samples: 1 });
        const byCl: Setup = (state) => {
          state.registers[Register.Rcx] = BigInt(count) | 0x55aa00n;
        };
        this.modRm(`${name} by CL`, [0x0f, opcode + 1], { undefinedFlags, setup: byCl, samples: 1 });
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
          if (register === Register.Rbx || register === Register.Rsp) return;
          state.registers[register] = BigInt.asUintN(this.bits === 64 ? 64 : 32, number);
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
        state.registers[Register.Rax] = 0x1111_1111_1111_1111n;
        if (this.bits !== 64) state.registers[Register.Rax] = 0x1111_1111n;
      };
      this.modRm("cmpxchg equal", [0x0f, 0xb0 + wide], { setup });
    }
    for (const equal of [false, true]) {
      for (const prefix of this.bits === 64 ? [[], [0x48]] : [[]]) {
        this.add("cmpxchg8b", [...prefix, 0x0f, 0xc7, this.modRmOf(1), 0xf0], 0n, (state) => {
          const view = new DataView(state.memory.buffer);
          const half = prefix.length ? 8 : 4;
          if (!equal) return;
          const word = (at: number) => (half === 8 ? view.getBigUint64(at, true) : BigInt(view.getUint32(at, true)));
          state.registers[Register.Rax] = word(112);
          state.registers[Register.Rdx] = word(112 + half);
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
        this.add("push memory", [...prefix, 0xff, this.modRmOf(6), displacement]);
        this.add("pop memory", [...prefix, 0x8f, this.modRmOf(0), displacement]);
        this.add("push [rSP]", [...prefix, ...this.address32, 0xff, 0x74, 0x24, displacement]);
        this.add("pop [rSP]", [...prefix, ...this.address32, 0x8f, 0x44, 0x24, displacement]);
      }
      for (let register = 0; register < 8; register++) {
        this.add("push", [...prefix, 0x50 + register]);
        this.add("pop", [...prefix, 0x58 + register]);
        if (this.bits === 64) this.add("push", [...prefix.filter((p) => p === 0x66), 0x41, 0x50 + register]);
      }
      this.add("push immediate", [...prefix, 0x6a, 0x85]);
      this.add("push immediate", [...prefix, 0x68, ...[0x85, 0x84, 0x83, 0x82].slice(0, this.immediateSize(prefix))]);
    }
  }

  private strings(opcodes = [0xa4, 0xa6, 0xaa, 0xac, 0xae], port = 0n): void {
    const prefixes = this.bits === 64 ? [[], [0x66], [0x48], [0x67]] : [[], [0x66]];
    for (const prefix of prefixes) {
      for (const opcode of opcodes) {
        for (const wide of [0, 1]) {
          for (const repeat of [[], [0xf2], [0xf3]]) {
            for (const backwards of [false, true]) {
              this.add(`string ${(opcode + wide).toString(16)}`, [...repeat, ...prefix, opcode + wide], 0n, (state) => {
                state.registers[Register.Rcx] = BigInt(this.random() % 7);
                state.registers[Register.Rsi] = this.data + BigInt((this.random() & 31) - 8);
                state.registers[Register.Rdi] = this.data + BigInt((this.random() & 31) - 24);
                if (port) state.registers[Register.Rdx] = port;
                if (backwards) state.flags |= Flag.Df;
                if (this.random() & 1) state.memory.fill(this.random());
                if (this.random() & 1) state.registers[Register.Rax] = BigInt(state.memory[0]!) * 0x0101_0101n;
              });
            }
          }
        }
      }
    }
  }
}
