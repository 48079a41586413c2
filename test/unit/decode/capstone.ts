import { createRequire } from "node:module";
import { Guest } from "./guest.ts";

// The decoder beside Capstone, an independent disassembler: lengths and memory operands.

interface Disassembled {
  size: number;
  mnemonic: string;
  op_str: string;
}
interface Capstone {
  disasm(bytes: number[], address: number, count: number): Disassembled[];
}
interface CapstoneModule {
  Capstone: new (architecture: number, mode: number) => Capstone;
  ARCH_X86: number;
  MODE_16: number;
  MODE_32: number;
  MODE_64: number;
}

export type Bits = 16 | 32 | 64;
const ADDRESS = 0x1000;

/** Encodings that are not decoded here (EVEX, XOP, 3DNow!), or on which Capstone follows Intel against AMD. */
function isOutOfScope(bits: Bits, bytes: number[], { mnemonic }: Disassembled): boolean {
  const start = bytes.findIndex((byte) => !isPrefix(bits, byte));
  const opcode = bytes[start] === 0x0f ? 0x0f00 | bytes[start + 1]! : bytes[start]!;
  if ([0x62, 0x8f, 0x0f0f].includes(opcode)) return true;
  if ([0x0f78, 0x0f79, 0x0fb9, 0x0fff].includes(opcode)) return true; // VMREAD, EXTRQ, UD1, UD0
  if (/^(ud|xabort|xbegin|xcrypt|xsha|xstore|montmul)/.test(mnemonic)) return true; // transactions are Intel's, the rest VIA's
  const vex = opcode === 0xc4 || opcode === 0xc5;
  if (vex && bytes.slice(0, start).some((byte) => isForbiddenBeforeVex(bits, byte))) return true;
  if (opcode === 0xc2 && (bytes[start - 1]! & 0xf8) === 0x48) return true; // it gives RET with REX.W 4 bytes
  // Of FS and a segment that counts for nothing in 64-bit mode it takes the last; real processors take FS.
  const segments = bytes.slice(0, start).filter((byte) => [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65].includes(byte));
  if (bits === 64 && segments.length > 1 && segments.at(-1)! < 0x64) return true;
  // A 16-bit branch in 64-bit mode, which Intel does not have
  const branch = opcode === 0xe8 || opcode === 0xe9 || (opcode & 0xfff0) === 0x0f80;
  return bits === 64 && branch && bytes.slice(0, start).includes(0x66);
}

function isPrefix(bits: Bits, byte: number): boolean {
  if ([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3].includes(byte)) return true;
  return bits === 64 && (byte & 0xf0) === 0x40;
}

function isForbiddenBeforeVex(bits: Bits, byte: number): boolean {
  return [0x66, 0xf0, 0xf2, 0xf3].includes(byte) || (bits === 64 && (byte & 0xf0) === 0x40);
}

const hex = (bytes: number[]): string => bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");

const REGISTERS = ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"];
/** The number of a register of any width by its name: eax, r8d, si. */
function registerNumber(name: string): number {
  const numbered = /^r(\d+)/.exec(name);
  return numbered ? Number(numbered[1]) : REGISTERS.indexOf(name.replace(/^[er](?=[a-z]{2}$)/, ""));
}

const SEGMENTS = ["es", "cs", "ss", "ds", "fs", "gs"];

interface Operand {
  segment: number;
  base: number;
  index: number;
  scale: number;
  displacement: bigint;
}

/** The memory operand in Capstone's text, such as `dword ptr fs:[rdi + rcx*4 - 0xa0]`. */
function parseOperand(text: string, bits: Bits): Operand | undefined {
  const match = /(?:(\w\w):)?\[([^\]]+)\]/.exec(text);
  if (!match) return undefined;
  const operand: Operand = { segment: 3, base: -1, index: -1, scale: 0, displacement: 0n };
  for (const term of match[2]!.replaceAll(" - ", " + -").split(" + ")) {
    const number = /^(-?)(0x[\da-f]+|\d+)$/.exec(term);
    const [name = "", factor] = term.split("*");
    if (number) operand.displacement += (number[1] ? -1n : 1n) * BigInt(number[2]!);
    else if (name === "rip" || name === "eip") operand.base = 16;
    else if (name !== "riz" && name !== "eiz") {
      const register = registerNumber(name);
      if (factor === undefined && operand.base === -1) operand.base = register;
      else {
        operand.index = register;
        operand.scale = Math.log2(Number(factor ?? 1));
      }
    }
  }
  if (match[1]) operand.segment = SEGMENTS.indexOf(match[1]);
  if (bits === 64 && operand.segment < 4) operand.segment = 3;
  else if (!match[1] && (operand.base === 4 || operand.base === 5)) operand.segment = 2;
  return operand;
}

/** Operands of string instructions are not encoded, and gathers have a vector for an index. */
function hasOtherOperands(mnemonic: string): boolean {
  return /^(rep\w* )?(ins|outs|movs|cmps|stos|lods|scas)[bwdq]$|gather|^xlatb/.test(mnemonic);
}

/** Decodes in one mode, and says what Capstone sees otherwise. */
export class Comparison {
  private constructor(
    private readonly bits: Bits,
    private readonly capstone: Capstone,
    private readonly guest = new Guest(),
  ) {
    if (bits === 64) guest.longMode();
    else if (bits === 32) guest.protectedMode();
    else guest.realMode();
  }

  static async in(bits: Bits): Promise<Comparison> {
    const load = createRequire(import.meta.url)("@alexaltea/capstone-js") as () => Promise<CapstoneModule>;
    const capstone = await load();
    return new Comparison(bits, new capstone.Capstone(capstone.ARCH_X86, capstone[`MODE_${bits}`]));
  }

  /** What differs on these bytes; undefined if nothing, null if they are no instruction or not one that is compared. */
  difference(bytes: number[]): string | null | undefined {
    const known = this.disassemble(bytes);
    if (!known || isOutOfScope(this.bits, bytes, known)) return null;
    this.guest.code(bytes, ADDRESS);
    const length = this.guest.core.length();
    const what = `${this.bits}-bit ${hex(bytes.slice(0, known.size))}: ${known.mnemonic} ${known.op_str}`;
    if (length !== known.size) return `${what}: length ${length}`;
    const operand = this.operandDifference(known, length);
    return operand === undefined ? undefined : `${what}: ${operand}`;
  }

  private disassemble(bytes: number[]): Disassembled | undefined {
    try {
      return this.capstone.disasm(bytes, ADDRESS, 1)[0];
    } catch {
      return undefined; // it throws at what is no instruction
    }
  }

  private operandDifference({ mnemonic, op_str }: Disassembled, length: number): string | undefined {
    if (hasOtherOperands(mnemonic)) return undefined;
    const expected = parseOperand(op_str, this.bits);
    if ((this.guest.core.inMemory() === 1) !== (expected !== undefined)) return "memory or register";
    if (!expected) return undefined;
    const operand = this.decodedOperand(length);
    // [eBP + displacement] may be encoded with an index and no base, which Capstone does not tell.
    if (operand.base === -1 && operand.index === 5 && expected.segment === 2) expected.segment = operand.segment;
    for (const side of [expected, operand]) {
      side.displacement = BigInt.asUintN(this.bits === 16 ? 16 : 32, side.displacement); // as wide as Capstone writes it
      if (side.base === -1 && side.scale === 0) [side.base, side.index] = [side.index, -1]; // the same to it
    }
    const show = (o: Operand) => `${o.segment}:${o.base}+${o.index}<<${o.scale}+${o.displacement}`;
    return show(operand) === show(expected) ? undefined : `${show(operand)} instead of ${show(expected)}`;
  }

  private decodedOperand(length: number): Operand {
    const { core } = this.guest;
    const base = core.baseRegister();
    let displacement = BigInt.asIntN(64, core.displacement());
    if (base === 16) displacement -= BigInt(ADDRESS + length);
    const segment = core.segment();
    return {
      segment: this.bits === 64 && segment < 4 ? 3 : segment,
      base,
      index: core.indexRegister(),
      scale: core.indexRegister() === -1 ? 0 : core.scale(),
      displacement,
    };
  }
}
