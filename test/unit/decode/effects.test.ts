import { describe, expect, test } from "vitest";
import { type Case, Flag } from "./case-maker.ts";
import { Cases } from "./cases.ts";
import { Guest, Outcome } from "./guest.ts";
import { CODE, DATA, type State, WINDOW_SIZE, hasAvx, runNatively, runsCodeOf } from "./native.ts";

// What instructions do, compared with this machine's own processor: registers, flags and memory.

const FLAGS = Flag.Cf | Flag.Pf | Flag.Af | Flag.Zf | Flag.Sf | Flag.Df | Flag.Of;
const CODE_FRAME = 0x40_0000;
const DATA_FRAME = 0x60_0000;
const WINDOW = DATA_FRAME + 0x1000 - WINDOW_SIZE / 2;

const guest = new Guest();

function enter(bits: 32 | 64): void {
  if (bits === 64) {
    guest.longMode();
    // CODE and DATA are 2-MiB pages of one page directory.
    guest.view.setBigUint64(0x10_1000, 0x10_2027n, true);
    guest.view.setBigUint64(0x10_2000 + Number(CODE >> 21n) * 8, BigInt(CODE_FRAME) | 0xe7n, true);
    guest.view.setBigUint64(0x10_2000 + Number(DATA >> 21n) * 8, BigInt(DATA_FRAME) | 0xe7n, true);
  } else {
    guest.protectedMode();
    // The same in 4-MiB pages
    guest.view.setUint32(0x10_3000 + Number(CODE >> 22n) * 4, CODE_FRAME | 0xe7, true);
    guest.view.setUint32(0x10_3000 + Number(DATA >> 22n) * 4, (DATA_FRAME & ~0x3f_ffff) | 0xe7, true);
    guest.setControl({ cr0: 0x8000_0033n, cr3: 0x10_3000n, cr4: 0x4_0610n });
  }
}

/** The state after the core has carried the instruction out, and how it came to that. */
function emulate(before: Case): State & { outcome: number; rip: bigint } {
  const frame = before.bits === 64 ? DATA_FRAME : DATA_FRAME & ~0x3f_ffff;
  const window = frame + WINDOW - DATA_FRAME;
  before.registers.forEach((value, i) => guest.setRegister(i, value));
  guest.set("rflags", before.flags);
  guest.memory.set(before.code, CODE_FRAME);
  guest.memory.set(before.memory, window);
  guest.vectors.set(before.vectors);
  guest.set("rip", CODE);
  const outcome = guest.core.step();
  return {
    ...before,
    outcome,
    rip: guest.get("rip"),
    registers: before.registers.map((_, i) => guest.register(i)),
    flags: guest.get("rflags"),
    memory: guest.memory.slice(window, window + WINDOW_SIZE),
    vectors: guest.vectors.slice(),
  };
}

const hex = (value: bigint) => value.toString(16);
const bytes = (values: ArrayLike<number>) => Buffer.from(Array.from(values)).toString("hex");

function differences(before: Case, expected: State, actual: State & { outcome: number; rip: bigint }): string[] {
  if (actual.outcome !== Outcome.Done) return [`outcome ${actual.outcome}`];
  const found: string[] = [];
  if (actual.rip !== CODE + BigInt(before.code.length)) found.push(`rip ${hex(actual.rip)}`);
  const mask = FLAGS & ~before.undefined;
  if ((actual.flags & mask) !== (expected.flags & mask)) {
    found.push(`flags ${hex(actual.flags & mask)} not ${hex(expected.flags & mask)} from ${hex(before.flags)}`);
  }
  expected.registers.forEach((value, i) => {
    if (i >= 8 && before.bits === 32) return;
    if (actual.registers[i] !== value) found.push(`register ${i} ${hex(actual.registers[i]!)} not ${hex(value)}`);
  });
  if (!Buffer.from(actual.memory).equals(expected.memory)) {
    found.push(`memory ${bytes(actual.memory)} not ${bytes(expected.memory)}`);
  }
  for (let at = 0; at < 16 * 32; at += 32) {
    const [is, shouldBe] = [actual, expected].map(({ vectors }) => bytes(vectors.subarray(at, at + 32)));
    if (is !== shouldBe) found.push(`YMM${at / 32} ${is} not ${shouldBe}`);
  }
  return found;
}

describe.each<32 | 64>([64, 32])("%i-bit instructions", (bits) => {
  const here = runsCodeOf(bits);
  const reason = here
    ? ""
    : ` (not here: this machine's kernel runs no ${bits}-bit code; a boot compares them with QEMU)`;
  test.skipIf(!here)(`do what the processor does${reason}`, () => compare(bits));
});

function compare(bits: 32 | 64): void {
  enter(bits);
  const cases = new Cases(bits).make({ avx: hasAvx, emulated: false, privileged: false });
  const expected = runNatively(cases);
  const wrong = cases.flatMap((before, i) =>
    differences(before, expected[i]!, emulate(before)).map((text) => `${before.name} (${bytes(before.code)}): ${text}`),
  );
  expect(wrong.slice(0, 20)).toEqual([]);
  expect(cases.length).toBeGreaterThan(2000);
}
