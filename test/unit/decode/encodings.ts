import type { Bits } from "./capstone.ts";
import { randomNumbers } from "./guest.ts";

// Instructions' bytes to be decoded: systematic ones and random ones.

const TAIL = [0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0x11, 0x22, 0x33, 0x44];

/** Each opcode of all four maps, with ModRM bytes of each kind and the prefixes that change what follows. */
export function* everyOpcode(bits: Bits): Generator<number[]> {
  const prefixes = [[], [0x66], [0x67], [0xf2], [0xf3]];
  if (bits === 64) prefixes.push([0x48], [0x66, 0x4d]);
  const modRms = [0x00, 0x05, 0x44, 0x8e, 0x31, 0xc1, 0xfb];
  for (const prefix of prefixes) {
    for (const map of [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]]) {
      for (let opcode = 0; opcode < 0x100; opcode++) {
        for (const modRm of modRms) yield [...prefix, ...map, opcode, modRm, ...TAIL];
      }
    }
  }
}

/** Each opcode behind each VEX prefix of its kind: two bytes or three, VEX.pp, L and W. */
export function* everyVexOpcode(): Generator<number[]> {
  for (let opcode = 0; opcode < 0x100; opcode++) {
    for (const modRm of [0x05, 0x44, 0xc1]) {
      for (let last = 0; last < 8; last++) {
        yield [0xc5, 0xf8 | last, opcode, modRm, ...TAIL];
        for (const map of [1, 2, 3]) {
          for (const wide of [0, 0x80]) yield [0xc4, 0xe0 | map, wide | 0x78 | last, opcode, modRm, ...TAIL];
        }
      }
    }
  }
}

/** Each ModRM byte, with SIB bytes, REX prefixes, address sizes and segments, on MOV, which shows what they mean. */
export function* everyAddress(bits: Bits): Generator<number[]> {
  const prefixes: number[][] = [[], [0x67], [0x26], [0x36], [0x64], [0x67, 0x65]];
  if (bits === 64) prefixes.push([0x41], [0x42], [0x43], [0x4f], [0x67, 0x43]);
  for (const prefix of prefixes) {
    for (let modRm = 0; modRm < 0x100; modRm++) {
      const sibs = (modRm & 7) === 4 ? [0x00, 0x25, 0x65, 0xac, 0xe4, 0x6d, 0x4c, 0x9d] : [0x24];
      for (const sib of sibs) yield [...prefix, 0x89, modRm, sib, 0xf6, 0xff, 0xff, 0x7f, 0x90, 0x90];
    }
  }
}

export function* randomBytes(count: number, seed = 0x5eed): Generator<number[]> {
  const random = randomNumbers(seed);
  const starts = [0x0f, 0x66, 0x67, 0x48, 0x41, 0x44, 0xf3, 0x36];
  for (let i = 0; i < count; i++) {
    const bytes = Array.from({ length: 16 }, () => random() >>> 24);
    if (i & 1) bytes[0] = starts[random() & 7]!;
    yield bytes;
  }
}
