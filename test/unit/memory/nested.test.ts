// Nested page tables in both formats, checked by walking them as processors do.
import { describe, expect, test } from "vitest";
import { random } from "../net/setup.ts";
import { type AddressMap, GIB, KIB, MIB, PAGE, Region, SIZES, type TableOptions, Tables } from "./tables.ts";
import { type Format, walk } from "./walker.ts";

const FORMATS: Format[] = ["NPT", "EPT"];
const TERABYTE = 2 ** 40;
const WRITE_BACK = 6;
const UNCACHEABLE = 0;

/** The size of the largest page that may hold an address: aligned, and not mixed. */
function largestPage(map: AddressMap, address: number, sizes: readonly number[]): number {
  return Math.max(...sizes.filter((size) => map.region(address - (address % size), size) === Region.Own));
}

/** Looks at an address, and whether the guest finds there what the map says, in the largest page that may be. */
function expectAsMapped(tables: Tables, address: number, sizes: readonly number[] = SIZES): void {
  const { map } = tables;
  const page = tables.at(address);
  const region = map.region(address - (address % PAGE), PAGE);
  if (region === Region.Absent) return expect(page).toBeUndefined();
  if (region === Region.Zeros) return expect(page).toMatchObject({ size: PAGE, writable: false });
  expect(page).toEqual({
    address,
    size: largestPage(map, address, sizes),
    writable: true,
    executable: true,
    type: tables.format === "EPT" ? map.typeOf(address) : undefined,
    // AMD's entries have the PAT's first type, write-back: all types come from the MTRRs. Intel's let the guest's PAT count.
    pat: tables.format === "NPT" ? 0 : undefined,
  });
}

test.each([
  ["NPT", PAGE, 0x80n, 4],
  ["NPT", 2 * MIB, 0x1000n, 4],
  ["NPT", GIB, 0x1000n, 4],
  ["NPT", PAGE, 0x18n, 3],
  ["EPT", PAGE, 0x40n, -1],
  ["EPT", GIB, 0x40n, -1],
] as const)("the walker finds the PAT bit of %s's pages of %i bytes", (format, size, bit, pat) => {
  const last = SIZES.length - SIZES.indexOf(size) + 1;
  const entry = (table: bigint): bigint => {
    const level = Number(table) / PAGE;
    return level < last ? (table + BigInt(PAGE)) | 7n : BigInt(4 * GIB) | 7n | bit | (size === PAGE ? 0n : 0x80n);
  };
  const page = walk(format, (at) => entry(BigInt(at - (at % PAGE))), PAGE, 4, 4 * GIB + 5);
  expect(page).toMatchObject({ address: 4 * GIB + 5, size, pat });
});

describe.each(FORMATS)("%s", (format) => {
  const make = (options: Partial<TableOptions> = {}): Tables => new Tables({ format, ...options });

  test.each([4, 5])("maps every address to itself, in pages of 1 GiB, by %i levels", (levels) => {
    const tables = make({ levels });
    expect(tables.refresh(0, TERABYTE)).toBe(true);
    for (const address of [0, PAGE, 4 * GIB - 1, 4 * GIB, 600 * GIB + 5, TERABYTE - 1]) expectAsMapped(tables, address);
    expect(tables.at(TERABYTE)).toBeUndefined();
    expect(tables.synchronisations).toBe(0);
  });

  test("uses pages of 2 MiB where there are none of 1 GiB", () => {
    const tables = make({ largest: 2 * MIB });
    tables.refresh(0, 4 * GIB);
    for (const address of [0, 3 * MIB, 4 * GIB - 1]) expectAsMapped(tables, address, [PAGE, 2 * MIB]);
  });

  test("splits for one page, and takes what is around it together again", () => {
    const tables = make();
    tables.refresh(0, 512 * GIB);
    const before = tables.contents().size;
    const hook = 0xfee0_0000;
    tables.map.hooks = [{ base: hook, end: hook + PAGE }];
    tables.refresh(hook, hook + PAGE);
    expect(tables.synchronisations).toBe(1);
    for (const at of [hook - 1, hook, hook + PAGE - 1, hook + PAGE, hook - 2 * MIB, 3 * GIB])
      expectAsMapped(tables, at);
    expect([tables.at(hook + PAGE)!.size, tables.at(hook - 2 * MIB)!.size]).toEqual([PAGE, 2 * MIB]);

    tables.map.hooks = [];
    tables.refresh(hook, hook + PAGE);
    for (const at of [hook - 1, hook, hook + PAGE]) expectAsMapped(tables, at);
    expect(tables.at(hook)!.size).toBe(GIB);
    expect(tables.contents().size).toBe(before);
  });

  test("needs no table for what is absent as a whole", () => {
    const tables = make();
    tables.refresh(0, 512 * GIB);
    const before = tables.contents().size;
    tables.map.hooks = [{ base: 2 * GIB, end: 3 * GIB }];
    tables.refresh(2 * GIB, 3 * GIB);
    expect(tables.at(2 * GIB)).toBeUndefined();
    expect(tables.contents().size).toBe(before);
  });

  test("shows a block of zeros, on borders of 2 MiB, by one table and one page", () => {
    const tables = make();
    tables.map.block = { base: 0x3d00_0000, end: 0x3e00_0000 };
    tables.refresh(0, 512 * GIB);
    const places = [0x3d00_0000, 0x3d12_3000, 0x3dff_f000].map((address) => tables.at(address)!);
    expect(new Set(places.map(({ address }) => address)).size).toBe(1);
    for (const at of [0x3d00_0000 - 1, 0x3d00_0000, 0x3dff_ffff, 0x3e00_0000]) expectAsMapped(tables, at);
  });

  test("gives each page the type that it has, and no page two", () => {
    const tables = make();
    tables.map.types = [
      { base: 0xa_0000, end: 0x10_0000, type: UNCACHEABLE },
      { base: 2 * GIB, end: 4 * GIB, type: UNCACHEABLE },
    ];
    tables.refresh(0, 512 * GIB);
    for (const at of [0, 0x9_ffff, 0xa_0000, 0x10_0000, 2 * MIB, 2 * GIB - 1, 2 * GIB, 4 * GIB])
      expectAsMapped(tables, at);
    tables.map.types = [];
    tables.refresh(0, 4 * GIB);
    if (format === "EPT") expect(tables.at(3 * GIB)!.type).toBe(WRITE_BACK);
    expectAsMapped(tables, 0x9_ffff);
  });

  test("leaves tables that were taken out as they are until no processor walks them", () => {
    const tables = make();
    tables.map.hooks = [{ base: GIB + PAGE, end: GIB + 2 * PAGE }];
    tables.refresh(0, 512 * GIB);
    tables.processorsForget = false;
    const before = tables.contents();
    tables.map.hooks = [{ base: 5 * GIB + 3 * MIB, end: 5 * GIB + 3 * MIB + PAGE }];
    tables.refresh(GIB, 2 * GIB);
    tables.refresh(5 * GIB, 6 * GIB);
    const now = tables.contents();
    const out = [...before].filter(([address]) => !now.has(address));
    expect(out).toHaveLength(2);
    for (const [address, content] of out) expect(tables.page(address)).toBe(content);
    tables.processorsForget = true;
    for (const base of [8 * GIB, 9 * GIB]) {
      tables.map.hooks = [...tables.map.hooks, { base, end: base + PAGE }];
      tables.refresh(base, base + GIB);
    }
    expect([...tables.contents().keys()].filter((address) => out.some(([old]) => old === address))).toHaveLength(2);
  });

  test("brings what is mapped up to date, and nothing else", () => {
    const tables = make();
    tables.refresh(5 * GIB, 7 * GIB);
    const before = tables.contents().size;
    tables.map.types = [{ base: 6 * GIB, end: 6 * GIB + 3 * PAGE, type: UNCACHEABLE }];
    expect(tables.update(0, 2 ** 52)).toBe(true);
    for (const at of [5 * GIB, 6 * GIB, 6 * GIB + 3 * PAGE, 6 * GIB + 2 * MIB]) expectAsMapped(tables, at);
    for (const at of [0, 5 * GIB - 1, 7 * GIB, TERABYTE]) expect(tables.at(at)).toBeUndefined();
    expect(tables.contents().size).toBe(before + 2);
    tables.map.types = [];
    tables.update(0, 2 ** 52);
    expectAsMapped(tables, 6 * GIB);
    expect(tables.contents().size).toBe(before);
  });

  test("maps on demand, a region at a time", () => {
    const tables = make();
    const at = 3 * TERABYTE + 5 * GIB + 7 * MIB;
    expect(tables.refresh(at, at + 2 * MIB)).toBe(true);
    expectAsMapped(tables, at);
    expect(tables.at(at + GIB)).toBeUndefined();
  });
});

describe.each(FORMATS)("with a pool of four tables, %s", (format) => {
  const make = (): Tables => {
    const tables = new Tables({ format, pool: 4 });
    tables.map.block = { base: 0x3d00_0000, end: 0x3e00_0000 };
    tables.map.hooks = [{ base: 0xfee0_0000, end: 0xfee0_1000 }];
    tables.map.types = [{ base: 0xa_0000, end: 0xc_0000, type: UNCACHEABLE }];
    return tables;
  };

  const PLACES = [0xa_0000, 0x3d00_0000, 0xfee0_1000, 600 * GIB, 0xfee0_0000, 0x9_f000, 5 * GIB, 0x3dff_f000];

  test("says that they do not suffice, and maps nothing then", () => {
    const tables = make();
    expect(tables.refresh(5 * GIB, 6 * GIB)).toBe(true);
    expect(tables.refresh(0, TERABYTE)).toBe(false);
    for (const at of [...PLACES, 5 * GIB]) expect(tables.at(at)).toBeUndefined();
  });

  test("serves any address after all was dropped, one after the other", () => {
    const tables = make();
    for (const at of PLACES) {
      if (!tables.refresh(at, at + PAGE)) {
        expect(tables.at(at)).toBeUndefined();
        expect(tables.refresh(at, at + PAGE)).toBe(true);
      }
      expectAsMapped(tables, at);
    }
  });

  test("does not use a table again that a processor may still walk, and serves again when none does", () => {
    const tables = make();
    tables.processorsForget = false;
    const served = PLACES.filter((at) => tables.refresh(at, at + PAGE));
    expect(served.length).toBeLessThan(PLACES.length);
    tables.processorsForget = true;
    tables.refresh(0xa_0000, 0xa_1000);
    expect(tables.refresh(0xa_0000, 0xa_1000)).toBe(true);
    expectAsMapped(tables, 0xa_0000);
  });
});

describe.each(FORMATS)("with a pool of four tables of which some are kept, %s", (format) => {
  const KEPT = [0, 5 * GIB, 511 * GIB];
  /** The root and one table below it for what is kept; two are left. */
  const make = (): Tables => {
    const tables = new Tables({ format, pool: 4 });
    tables.keepBelow(512 * GIB);
    expect(tables.refresh(0, 512 * GIB)).toBe(true);
    return tables;
  };

  test("maps one address after the other beyond, and what is kept stays", () => {
    const tables = make();
    for (let at = TERABYTE; at < 20 * TERABYTE; at += TERABYTE) {
      expect(tables.refresh(at, at + PAGE)).toBe(true);
      for (const place of [at, ...KEPT]) expectAsMapped(tables, place);
    }
    expect(tables.at(TERABYTE)).toBeUndefined();
  });

  test("has the tables for a hook in what is kept from what is not", () => {
    const tables = make();
    for (const at of [TERABYTE, 2 * TERABYTE]) expect(tables.refresh(at, at + PAGE)).toBe(true);
    tables.map.hooks = [{ base: 0xfee0_0000, end: 0xfee0_1000 }];
    expect(tables.refresh(0xfee0_0000, 0xfee0_1000)).toBe(true);
    for (const place of [0xfee0_0000, 0xfee0_1000, ...KEPT]) expectAsMapped(tables, place);
    expect(tables.at(TERABYTE)).toBeUndefined();
  });

  test("drops that too when nothing else helps, and serves again", () => {
    const tables = make();
    tables.map.hooks = [0xfee0_0000, 5 * GIB].map((base) => ({ base, end: base + PAGE }));
    expect(tables.refresh(0xfee0_0000, 0xfee0_1000)).toBe(true);
    expect(tables.refresh(5 * GIB, 5 * GIB + PAGE)).toBe(false);
    for (const place of KEPT) expect(tables.at(place)).toBeUndefined();
    for (const place of [0xfee0_1000, 0, 511 * GIB, TERABYTE]) {
      expect(tables.refresh(place, place + PAGE) || tables.refresh(place, place + PAGE)).toBe(true);
      expectAsMapped(tables, place);
    }
  });

  test("keeps the lower part of an entry of the top table", () => {
    const tables = new Tables({ format, pool: 5, levels: 5 });
    tables.keepBelow(512 * GIB);
    tables.refresh(0, 512 * GIB);
    for (let at = TERABYTE; at < 20 * TERABYTE; at += TERABYTE) {
      expect(tables.refresh(at, at + PAGE)).toBe(true);
      for (const place of [at, ...KEPT]) expectAsMapped(tables, place);
    }
  });
});

/** Hooks come and go, types change and pages are touched, at random: the tables are always what the map says. */
test.each(FORMATS)("%s follows any changes of hooks and types", (format) => {
  const next = random(format === "NPT" ? 11 : 12);
  const tables = new Tables({ format, pool: 40 });
  const { map } = tables;
  const end = 8 * GIB;
  map.block = { base: 0x3d00_0000, end: 0x3e00_0000 };
  expect(tables.refresh(0, end)).toBe(true);
  const place = (): number => {
    const near = [0, 0x3d00_0000, 0x3e00_0000, GIB, 4 * GIB, 0xfee0_0000][next(6)]! + (next(9) - 4) * PAGE;
    return Math.min(Math.max(near + next(3) * 2 * MIB, 0), end - 64 * PAGE);
  };
  for (let change = 0; change < 600; change++) {
    const base = place();
    const range = {
      base,
      end: base + (next(4) ? PAGE : 4 * MIB) - (next(5) ? 0 : 16 * KIB - PAGE + 100) * next(2),
    };
    const kind = next(3);
    let changed = range;
    if (kind === 0 && map.hooks.length < 6 && range.end > range.base && map.region(base, PAGE) !== Region.Zeros) {
      map.hooks.push(range);
    } else if (kind === 1 && map.hooks.length) {
      [changed] = map.hooks.splice(next(map.hooks.length), 1) as [typeof range];
    } else {
      const old = map.types;
      const from = base - (base % PAGE);
      map.types = old.length > 2 ? [] : [...old, { base: from, end: from + PAGE * (1 + next(600)), type: UNCACHEABLE }];
      changed = { base: 0, end };
    }
    tables.processorsForget = next(2) === 0;
    if (!tables.refresh(changed.base, changed.end)) {
      tables.processorsForget = true;
      tables.refresh(0, end);
      if (!tables.refresh(0, end)) throw new Error("a whole map needs more tables than there are");
    }
    for (const at of [changed.base, changed.end - 1, changed.end, place(), place()]) {
      if (at < end) expectAsMapped(tables, at);
    }
  }
});
