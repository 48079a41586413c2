import { createRequire } from "node:module";
import { beforeAll, describe, expect, test } from "vitest";
import { Guest, randomNumbers } from "./guest.ts";

// Lengths and memory operands of the decoder against Capstone's.

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

type Bits = 16 | 32 | 64;
const ADDRESS = 0x1000;
const guest = new Guest();
const disassemblers = new Map<Bits, Capstone>();

beforeAll(async () => {
  const load = createRequire(import.meta.url)("@alexaltea/capstone-js") as () => Promise<CapstoneModule>;
  const capstone = await load();
  disassemblers.set(16, new capstone.Capstone(capstone.ARCH_X86, capstone.MODE_16));
  disassemblers.set(32, new capstone.Capstone(capstone.ARCH_X86, capstone.MODE_32));
  disassemblers.set(64, new capstone.Capstone(capstone.ARCH_X86, capstone.MODE_64));
});

function disassemble(bits: Bits, bytes: number[]): Disassembled | undefined {
  try {
    return disassemblers.get(bits)!.disasm(bytes, ADDRESS, 1)[0];
  } catch {
    return undefined; // it throws at what is no instruction
  }
}

function enter(bits: Bits): void {
  if (bits === 64) guest.longMode();
  else if (bits === 32) guest.protectedMode();
  else guest.realMode();
}

/** Encodings that are not decoded here (VEX, EVEX, XOP, 3DNow!), or on which Capstone follows Intel against AMD. */
function isOutOfScope(bits: Bits, bytes: number[], { mnemonic }: Disassembled): boolean {
  const start = bytes.findIndex((byte) => !isPrefix(bits, byte));
  const opcode = bytes[start] === 0x0f ? 0x0f00 | bytes[start + 1]! : bytes[start]!;
  if ([0xc4, 0xc5, 0x62, 0x8f, 0x0f0f].includes(opcode)) return true;
  if ([0x0f78, 0x0f79, 0x0fb9, 0x0fff].includes(opcode)) return true; // VMREAD, EXTRQ, UD1, UD0
  if (mnemonic.startsWith("ud")) return true;
  if (opcode === 0xc2 && (bytes[start - 1]! & 0xf8) === 0x48) return true; // it gives RET with REX.W 4 bytes
  // A 16-bit branch in 64-bit mode, which Intel does not have
  const branch = opcode === 0xe8 || opcode === 0xe9 || (opcode & 0xfff0) === 0x0f80;
  return bits === 64 && branch && bytes.slice(0, start).includes(0x66);
}

function isPrefix(bits: Bits, byte: number): boolean {
  if ([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3].includes(byte)) return true;
  return bits === 64 && (byte & 0xf0) === 0x40;
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

/** The same from the decoder. */
function decodedOperand(bits: Bits, length: number): Operand {
  const { core } = guest;
  const base = core.baseRegister();
  let displacement = BigInt.asIntN(64, core.displacement());
  if (base === 16) displacement -= BigInt(ADDRESS + length);
  const segment = core.segment();
  return {
    segment: bits === 64 && segment < 4 ? 3 : segment,
    base,
    index: core.indexRegister(),
    scale: core.indexRegister() === -1 ? 0 : core.scale(),
    displacement,
  };
}

/** What differs between the decoder and Capstone on these bytes; undefined if nothing. */
function difference(bits: Bits, bytes: number[], compareOperands: boolean): string | undefined {
  const known = disassemble(bits, bytes);
  if (!known || isOutOfScope(bits, bytes, known)) return undefined;
  guest.code(bytes, ADDRESS);
  const length = guest.core.length();
  const what = `${bits}-bit ${hex(bytes.slice(0, known.size))}: ${known.mnemonic} ${known.op_str}`;
  if (length !== known.size) return `${what}: length ${length}`;
  if (!compareOperands) return undefined;
  const expected = parseOperand(known.op_str, bits);
  if ((guest.core.inMemory() === 1) !== (expected !== undefined)) return `${what}: memory or register`;
  if (!expected) return undefined;
  const operand = decodedOperand(bits, length);
  for (const side of [expected, operand]) {
    side.displacement = BigInt.asUintN(bits === 16 ? 16 : 32, side.displacement); // as wide as Capstone writes it
    if (side.base === -1 && side.scale === 0) [side.base, side.index] = [side.index, -1]; // the same to it
  }
  const show = (o: Operand) => `${o.segment}:${o.base}+${o.index}<<${o.scale}+${o.displacement}`;
  return show(operand) === show(expected) ? undefined : `${what}: ${show(operand)} instead of ${show(expected)}`;
}

const TAIL = [0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0x11, 0x22, 0x33, 0x44];

/** Each opcode of both maps, with ModRM bytes of each kind and the prefixes that change lengths. */
function* everyOpcode(bits: Bits): Generator<number[]> {
  const prefixes = bits === 64 ? [[], [0x66], [0x67], [0x48], [0x66, 0x4d]] : [[], [0x66], [0x67]];
  const modRms = [0x00, 0x05, 0x44, 0x8e, 0x31, 0xc1, 0xfb];
  for (const prefix of prefixes) {
    for (let opcode = 0; opcode < 0x100; opcode++) {
      for (const modRm of modRms) {
        yield [...prefix, opcode, modRm, ...TAIL];
        yield [...prefix, 0x0f, opcode, modRm, ...TAIL];
      }
    }
  }
}

/** Each ModRM byte, with SIB bytes, REX prefixes, address sizes and segments, on MOV, which shows what they mean. */
function* everyAddress(bits: Bits): Generator<number[]> {
  const prefixes: number[][] = [[], [0x67], [0x26], [0x36], [0x64], [0x67, 0x65]];
  if (bits === 64) prefixes.push([0x41], [0x42], [0x43], [0x4f], [0x67, 0x43]);
  for (const prefix of prefixes) {
    for (let modRm = 0; modRm < 0x100; modRm++) {
      const sibs = (modRm & 7) === 4 ? [0x00, 0x25, 0x65, 0xac, 0xe4, 0x6d, 0x4c, 0x9d] : [0x24];
      for (const sib of sibs) yield [...prefix, 0x89, modRm, sib, 0xf6, 0xff, 0xff, 0x7f, 0x90, 0x90];
    }
  }
}

function* randomBytes(count: number): Generator<number[]> {
  const random = randomNumbers(0x5eed);
  const starts = [0x0f, 0x66, 0x67, 0x48, 0x41, 0x44, 0xf3, 0x36];
  for (let i = 0; i < count; i++) {
    const bytes = Array.from({ length: 16 }, () => random() >>> 24);
    if (i & 1) bytes[0] = starts[random() & 7]!;
    yield bytes;
  }
}

describe.each<Bits>([64, 32, 16])("in %i-bit code", (bits) => {
  test("every opcode has Capstone's length", () => {
    enter(bits);
    const differences = [...everyOpcode(bits)].map((bytes) => difference(bits, bytes, false)).filter(Boolean);
    expect(differences).toEqual([]);
  });

  test("every address form means what Capstone says", () => {
    enter(bits);
    const differences = [...everyAddress(bits)].map((bytes) => difference(bits, bytes, true)).filter(Boolean);
    expect(differences).toEqual([]);
  });

  test("random bytes have Capstone's length", () => {
    enter(bits);
    const differences = [...randomBytes(4000)].map((bytes) => difference(bits, bytes, false)).filter(Boolean);
    expect(differences).toEqual([]);
  });
});

test("MOV to and from control registers gives its registers whatever ModRM.mod is", () => {
  guest.longMode();
  // Bit 31: is one; 15:8 the control register; 7:0 the general register
  const cases: [number[], number, number, number][] = [
    [[0x0f, 0x20, 0xc0], 3, 0, 0],
    [[0x0f, 0x22, 0xdf], 3, 3, 7],
    [[0x0f, 0x22, 0x1c, 0x25], 3, 3, 4], // mod 0 with rm 4: no SIB follows
    [[0x44, 0x0f, 0x20, 0xc3], 4, 8, 3],
    [[0x45, 0x0f, 0x22, 0xc7], 4, 8, 15],
    [[0xf0, 0x0f, 0x20, 0xc1], 4, 8, 1], // LOCK MOV CR0 is CR8
    [[0x0f, 0x23, 0xfe], 3, 7, 6],
  ];
  for (const [bytes, length, control, general] of cases) {
    guest.code(bytes, ADDRESS);
    expect(guest.core.length()).toBe(length);
    expect(guest.core.controlMove() >>> 0).toBe((0x8000_0000 | (control << 8) | general) >>> 0);
  }
});

test("an instruction of more than 15 bytes raises #GP", () => {
  guest.longMode();
  guest.code([...new Array<number>(14).fill(0x66), 0x90], ADDRESS);
  expect(guest.core.length()).toBe(15);
  guest.code([...new Array<number>(15).fill(0x66), 0x90], ADDRESS);
  expect(guest.core.length()).toBe(0);
  expect(guest.exception).toBe(13);
});
