import { describe, expect, test } from "vitest";
import { type Bits, Comparison } from "./capstone.ts";
import { everyAddress, everyOpcode, everyVexOpcode, randomBytes } from "./encodings.ts";
import { Guest, Outcome, Vector } from "./guest.ts";

// Lengths and memory operands of the decoder against Capstone's. For ten times as many: test/million-instructions.ts.

const RANDOM = 33_333;
const ADDRESS = 0x1000;
const guest = new Guest();

describe.each<Bits>([64, 32, 16])("in %i-bit code Capstone agrees on", async (bits) => {
  const comparison = await Comparison.in(bits);

  test.each([
    ["every opcode", everyOpcode(bits), 15_000],
    ["every opcode behind VEX", everyVexOpcode(), 4_500],
    ["every address form", everyAddress(bits), 2_700],
    ["random bytes", randomBytes(RANDOM), 0.8 * RANDOM],
  ])("%s", (_name, encodings, atLeast) => {
    const results = Array.from(encodings, (bytes) => comparison.difference(bytes));
    expect(results.filter(Boolean)).toEqual([]);
    expect(results.filter((result) => result !== null).length).toBeGreaterThan(atLeast);
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
  expect(guest.exception).toBe(Vector.GeneralProtection);
  // A store of 15 bytes, with a displacement and an immediate of 32 bits, and the same with one prefix more
  const store = [...new Array<number>(4).fill(0x2e), 0x48, 0xc7, 0x83, 0x00, 0x10, 0x00, 0x00, 1, 2, 3, 4];
  guest.set("rbx", 0x2000n);
  guest.code(store, ADDRESS);
  expect([guest.core.step(), guest.get("rip")]).toEqual([Outcome.Done, BigInt(ADDRESS + 15)]);
  expect(guest.view.getUint32(0x3000, true)).toBe(0x04030201);
  guest.view.setUint32(0x3000, 0, true);
  guest.code([0x2e, ...store], ADDRESS);
  expect([guest.core.step(), guest.exception, guest.error]).toEqual([Outcome.Faulted, Vector.GeneralProtection, 0]);
  expect([guest.get("rip"), guest.view.getUint32(0x3000, true)]).toEqual([BigInt(ADDRESS), 0]);
});
