import { beforeEach, expect, test } from "vitest";
import { Guest, Outcome } from "./guest.ts";

// Instructions that count and pick bits: where the processor does not have them. What they do is in effects.test.ts.

const guest = new Guest();
const DATA = 0x20_0000n;

beforeEach(() => {
  guest.longMode();
  guest.countsZeros = true;
  guest.set("rflags", 2n);
  guest.set("rbx", DATA);
});

test.each([
  ["TZCNT", "BSF", [0xf3, 0x0f, 0xbc, 0x0b], 4n, 4n],
  ["LZCNT", "BSR", [0xf3, 0x0f, 0xbd, 0x0b], 23n, 8n],
])("%s is %s on a processor that does not have it", (_name, _other, code, counted, found) => {
  guest.view.setUint32(Number(DATA), 0x0000_0110, true);
  guest.code(code);
  expect([guest.core.step(), guest.get("rcx")]).toEqual([Outcome.Done, counted]);
  guest.countsZeros = false;
  guest.code(code);
  expect([guest.core.step(), guest.get("rcx")]).toEqual([Outcome.Done, found]);
});

test.each([
  ["ANDN with a prefix", [0xc4, 0xe2, 0x71, 0xf2, 0x03]],
  ["ANDN of 256 bits", [0xc4, 0xe2, 0x74, 0xf2, 0x03]],
  ["the first of BLSR's group", [0xc4, 0xe2, 0x70, 0xf3, 0x03]],
  ["the fifth of BLSR's group", [0xc4, 0xe2, 0x70, 0xf3, 0x23]],
  ["BZHI with 66", [0xc4, 0xe2, 0x71, 0xf5, 0x03]],
  ["MULX without a prefix", [0xc4, 0xe2, 0x70, 0xf6, 0x03]],
  ["RORX without a prefix", [0xc4, 0xe3, 0x78, 0xf0, 0x03, 1]],
  ["CRC32 with LOCK", [0xf0, 0xf2, 0x0f, 0x38, 0xf1, 0x03]],
])("%s is no instruction", (_name, code) => {
  guest.code(code);
  expect(guest.core.step()).toBe(Outcome.Unknown);
});
