// Memory types, by the examples that the manuals give and by their rules once more, applied to each 4 KiB.
import { readFileSync } from "node:fs";
import { beforeEach, describe, expect, test } from "vitest";
import { Msr } from "../../../machine/msrs.ts";
import { compileCore } from "../../compile.ts";
import { randomNumbers } from "../decode/guest.ts";

interface Core {
  memory: { buffer: ArrayBuffer };
  begin(): void;
  has(index: number): number;
  set(index: number, value: bigint): void;
  get(index: number): bigint;
  setWriteBackEnd(end: bigint): void;
  reachStart(index: number): bigint;
  reachEnd(index: number): bigint;
  typeOf(base: bigint, size: bigint): number;
}

const UC = 0;
const WC = 1;
const WT = 4;
const WP = 5;
const WB = 6;
const KIB = 1n << 10n;
const MIB = 1n << 20n;
const GIB = 1n << 30n;
const PAGE = 4n * KIB;
const RANGES = 8;
const ENABLED = 1n << 11n;
const FIXED_ENABLED = 1n << 10n;
const VALID = 1n << 11n;
const FIXED = [0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f];

const module = new WebAssembly.Module(readFileSync(compileCore("types", "test/unit/memory/core/types.ts")));
let core: Core;
let registers: Map<number, bigint>;

/** A processor with these registers, all ranges off and the default type UC otherwise. */
function processor(values: readonly (readonly [number, bigint])[] = [], mtrrs = true): void {
  registers = new Map([[Msr.MtrrCap, 0x500n | BigInt(RANGES)], [Msr.MtrrDefType, ENABLED], ...values]);
  const instance = new WebAssembly.Instance(module, {
    metal: {
      cpuid: (_leaf: number, _subleaf: number, at: number) =>
        new DataView(core.memory.buffer).setBigUint64(at + 16, mtrrs ? 1n << 12n : 0n, true),
      rdmsr: (index: number) => registers.get(index) ?? 0n,
    },
  });
  core = instance.exports as unknown as Core;
  core.begin();
}

const base = (n: number): number => Msr.MtrrPhysBase0 + 2 * n;
const mask = (n: number): number => Msr.MtrrPhysBase0 + 2 * n + 1;
const setRange = (n: number, from: bigint, type: number, maskBits: bigint): void => {
  core.set(base(n), from | BigInt(type));
  core.set(mask(n), maskBits | VALID);
};
/** The mask of a range of `size` bytes on a machine of 40 bits. */
const maskOf = (size: bigint): bigint => BigInt.asUintN(40, ~(size - 1n));
const typeAt = (address: bigint): number => core.typeOf(address - (address % PAGE), PAGE);
const isMixed = (at: bigint, size: bigint): boolean => core.typeOf(at, size) > 0xff;

beforeEach(() => processor());

describe("the manuals' examples", () => {
  test("of a map with a hole and a frame buffer (Intel SDM 3, 12.11.3)", () => {
    // Six ranges of a machine of 40 bits, over UC.
    const pairs = [
      [0x0000_0006n, 0xff_fc00_0800n], // 0 to 64 MiB as WB
      [0x0400_0006n, 0xff_fe00_0800n], // 64 to 96 MiB as WB
      [0x0600_0006n, 0xff_ffc0_0800n], // 96 to 100 MiB as WB
      [0x0400_0000n, 0xff_ffc0_0800n], // 64 to 68 MiB as UC
      [0x00f0_0000n, 0xff_fff0_0800n], // 15 to 16 MiB as UC
      [0xa000_0001n, 0xff_ff80_0800n], // 8 MiB at A000_0000h as WC
    ] as const;
    pairs.forEach(([from, bits], n) => {
      core.set(base(n), from);
      core.set(mask(n), bits);
    });
    const expected: [bigint, bigint, number][] = [
      [0n, 15n, WB],
      [15n, 16n, UC],
      [16n, 64n, WB],
      [64n, 68n, UC],
      [68n, 100n, WB],
      [100n, 0xa00n, UC],
      [0xa00n, 0xa08n, WC],
      [0xa08n, 0xc00n, UC],
    ];
    for (const [from, to, type] of expected) {
      for (const at of [from * MIB, to * MIB - PAGE]) expect(typeAt(at)).toBe(type);
    }
    expect(core.typeOf(12n * MIB, 2n * MIB)).toBe(WB);
    expect(isMixed(14n * MIB, 2n * MIB)).toBe(true);
    expect(core.typeOf(64n * MIB, 2n * MIB)).toBe(UC);
    expect(isMixed(0n, GIB)).toBe(true);
    expect(core.typeOf(GIB, GIB)).toBe(UC);
    expect(isMixed(2n * GIB, GIB)).toBe(true);
  });

  test("of 8 to 16 MiB as write-back, on a processor of 36 bits (AMD Athlon Code Optimization, PAT and MTRRs)", () => {
    core.set(base(0), 0x80_0006n);
    core.set(mask(0), 0xf_ff80_0800n);
    expect([8n * MIB - PAGE, 8n * MIB, 16n * MIB - PAGE, 16n * MIB].map(typeAt)).toEqual([UC, WB, WB, UC]);
  });
});

describe("where ranges overlap (AMD APM 2, 7.7; Intel SDM 3, 12.11.4.1)", () => {
  const types = [UC, WC, WT, WP, WB];
  const pairs = types.flatMap((a) => types.map((b): [number, number] => [a, b]));

  test.each(pairs)("types %i and %i", (a, b) => {
    setRange(0, 64n * MIB, a, maskOf(64n * MIB));
    setRange(1, 96n * MIB, b, maskOf(32n * MIB));
    // Undefined pairs are taken for UC, which is never wrong.
    const both = a === b ? a : Math.min(a, b) === WT && Math.max(a, b) === WB ? WT : UC;
    expect([64n * MIB, 96n * MIB].map(typeAt)).toEqual([a, both]);
    expect(core.typeOf(96n * MIB, 32n * MIB)).toBe(both);
    expect(isMixed(64n * MIB, 64n * MIB)).toBe(both !== a);
  });

  test("a page of which all is UC by one range is not split by others", () => {
    setRange(0, 0n, UC, maskOf(GIB));
    setRange(1, 12n * KIB, WB, maskOf(PAGE));
    expect(core.typeOf(0n, GIB)).toBe(UC);
  });
});

describe("ranges", () => {
  test("that are off say nothing, and neither do all when MTRRs are off: then memory is UC", () => {
    core.set(base(0), BigInt(WB));
    core.set(mask(0), maskOf(GIB));
    expect(typeAt(0n)).toBe(UC);
    core.set(mask(0), maskOf(GIB) | VALID);
    expect(typeAt(0n)).toBe(WB);
    core.set(Msr.MtrrDefType, BigInt(WB));
    expect(core.typeOf(0n, GIB)).toBe(UC);
  });

  test("with holes in the mask lie where address and base agree in the mask's bits", () => {
    // Bit 21 is left out of 2 MiB at 16 MiB, so that it is also at 18 MiB; bit 12 out of pages at 1 GiB.
    setRange(0, 16n * MIB, WB, maskOf(2n * MIB) & ~(1n << 21n));
    expect([14n, 16n, 18n, 20n].map((at) => core.typeOf(at * MIB, 2n * MIB))).toEqual([UC, WB, WB, UC]);
    setRange(1, GIB, WT, maskOf(4n * PAGE) | (1n << 12n));
    expect([0n, 1n, 2n, 3n, 4n].map((n) => typeAt(GIB + n * PAGE))).toEqual([WT, UC, WT, UC, UC]);
    expect(isMixed(GIB, 2n * MIB)).toBe(true);
  });

  test("up to the last byte of memory", () => {
    setRange(0, (1n << 40n) - PAGE, WB, maskOf(PAGE));
    expect(typeAt((1n << 40n) - PAGE)).toBe(WB);
    expect(isMixed((1n << 40n) - 2n * MIB, 2n * MIB)).toBe(true);
  });
});

describe("the first MiB", () => {
  const fixed = (): void => {
    core.set(Msr.MtrrDefType, ENABLED | FIXED_ENABLED | BigInt(WB));
    FIXED.forEach((index) => core.set(index, 0x0606_0606_0606_0606n));
  };

  test("has the types of the fixed ranges, whatever variable ones say", () => {
    fixed();
    setRange(0, 0n, WT, maskOf(2n * MIB));
    core.set(0x250, 0x0504_0100_0605_0401n);
    core.set(0x259, 0x0000_0000_0000_0001n);
    core.set(0x26f, 0x0106_0606_0606_0605n);
    const at = [0x0n, 0x1_0000n, 0x1_f000n, 0x2_0000n, 0x3_0000n, 0x4_0000n, 0x7_f000n, 0x8_0000n];
    expect(at.map(typeAt)).toEqual([WC, WT, WT, WP, WB, UC, WP, WB]);
    expect([0x9_f000n, 0xa_0000n, 0xa_3000n, 0xa_4000n, 0xb_f000n, 0xc_0000n].map(typeAt)).toEqual([
      WB,
      WC,
      WC,
      UC,
      UC,
      WB,
    ]);
    expect([0xf_7000n, 0xf_8000n, 0xf_9000n, 0xf_f000n, 0x10_0000n].map(typeAt)).toEqual([WB, WP, WB, WC, WT]);
    expect(isMixed(0n, 2n * MIB)).toBe(true);
  });

  test("and what follows it make one page only if all fixed ranges and the variable ones agree", () => {
    fixed();
    expect(core.typeOf(0n, 2n * MIB)).toBe(WB);
    expect(core.typeOf(0n, GIB)).toBe(WB);
    for (const index of FIXED) {
      core.set(index, 0x0606_0600_0606_0606n);
      expect(isMixed(0n, 2n * MIB)).toBe(true);
      core.set(index, 0x0606_0606_0606_0606n);
    }
    setRange(0, MIB, WT, maskOf(MIB));
    expect(isMixed(0n, 2n * MIB)).toBe(true);
  });

  test("is looked at without AMD's bits that say where accesses go (AMD APM 2, 7.9.1)", () => {
    fixed();
    FIXED.forEach((index) => core.set(index, 0x1e1e_1e1e_1e1e_1e1en));
    expect(core.typeOf(0n, 2n * MIB)).toBe(WB);
  });

  test("is as the rest while fixed ranges are off", () => {
    fixed();
    FIXED.forEach((index) => core.set(index, 0n));
    core.set(Msr.MtrrDefType, ENABLED | BigInt(WB));
    expect(core.typeOf(0n, 2n * MIB)).toBe(WB);
  });
});

test("from 4 GiB to AMD's TOP_MEM2 the default type is write-back; ranges come before it", () => {
  core.setWriteBackEnd(6n * GIB + 8n * MIB);
  setRange(0, 5n * GIB, WT, maskOf(GIB));
  expect([3n, 4n, 5n, 6n, 7n].map((n) => typeAt(n * GIB))).toEqual([UC, WB, WT, WB, UC]);
  expect([3n, 4n, 5n].map((n) => core.typeOf(n * GIB, GIB))).toEqual([UC, WB, WT]);
  expect(isMixed(6n * GIB, GIB)).toBe(true);
  expect([6n, 8n].map((n) => core.typeOf(6n * GIB + n * MIB, 2n * MIB))).toEqual([WB, UC]);
});

test("without MTRRs, memory is write-back for all that is known", () => {
  processor([], false);
  expect(core.typeOf(0n, GIB)).toBe(WB);
  expect(core.has(Msr.MtrrDefType)).toBe(0);
});

test("registers are read as the firmware has left them, and are those of the manual", () => {
  processor([
    [Msr.MtrrDefType, ENABLED | FIXED_ENABLED],
    [0x26f, 0x0600_0000_0000_0000n],
    [mask(RANGES - 1), maskOf(GIB) | VALID],
    [base(RANGES - 1), GIB | BigInt(WB)],
  ]);
  expect([0xf_e000n, 0xf_f000n, GIB].map(typeAt)).toEqual([UC, WB, WB]);
  const known = Array.from({ length: 0x400 }, (_, index) => index).filter((index) => core.has(index));
  expect(known).toEqual([...Array.from({ length: 2 * RANGES }, (_, i) => 0x200 + i), ...FIXED, 0x2ff]);
});

describe("what a register has a say in", () => {
  const reach = (index: number): [bigint, bigint] => [core.reachStart(index), core.reachEnd(index)];

  test("are its ranges", () => {
    expect(reach(0x250)).toEqual([0n, 0x8_0000n]);
    expect(reach(0x259)).toEqual([0xa_0000n, 0xc_0000n]);
    expect(reach(0x26f)).toEqual([0xf_8000n, 0x10_0000n]);
    setRange(3, 64n * MIB, WB, maskOf(32n * MIB));
    expect(core.reachStart(mask(3))).toBe(64n * MIB);
    expect(BigInt.asUintN(40, core.reachEnd(base(3)))).toBe(96n * MIB);
    expect(core.reachEnd(base(4))).toBe(0n);
  });
});

/** The manuals' rules for one page of 4 KiB. */
function referenceType(address: bigint): number {
  const get = (index: number): bigint => core.get(index);
  const overlapping: number[] = [];
  for (let n = 0; n < RANGES; n++) {
    const bits = BigInt.asUintN(40, (get(mask(n)) >> 12n) << 12n);
    if (get(mask(n)) & VALID && (address & bits) === (get(base(n)) & bits))
      overlapping.push(Number(get(base(n)) & 0xffn));
  }
  const kinds = [...new Set(overlapping)].sort((a, b) => a - b);
  if (kinds.length === 0) return Number(get(Msr.MtrrDefType) & 0xffn);
  if (kinds.length === 1) return kinds[0]!;
  return kinds.length === 2 && kinds[0] === WT && kinds[1] === WB ? WT : UC;
}

test("in random settings every 4 KiB has the type of the rules, and a page that counts as uniform is", () => {
  const next = randomNumbers(4711);
  const types = [UC, WC, WT, WP, WB];
  let uniform = 0;
  for (let round = 0; round < 60; round++) {
    core.set(Msr.MtrrDefType, ENABLED | BigInt(types[next() % 5]!));
    for (let n = 0; n < RANGES; n++) {
      const size = 1n << BigInt(12 + (next() % 14));
      const hole = next() % 3 === 0 ? 1n << BigInt(12 + (next() % 13)) : 0n;
      setRange(n, (BigInt(next() % 4096) * PAGE) & maskOf(size), types[next() % 5]!, maskOf(size) & ~hole);
      if (next() % 4 === 0) core.set(mask(n), 0n);
    }
    for (let at = 0n; at < 16n * MIB; at += 2n * MIB) {
      const found = Array.from({ length: 512 }, (_, i) => referenceType(at + BigInt(i) * PAGE));
      expect(found.map((_, i) => typeAt(at + BigInt(i) * PAGE))).toEqual(found);
      const whole = core.typeOf(at, 2n * MIB);
      if (whole <= 0xff) {
        expect([...new Set(found)]).toEqual([whole]);
        uniform++;
      }
    }
  }
  expect(uniform).toBeGreaterThan(30);
});
