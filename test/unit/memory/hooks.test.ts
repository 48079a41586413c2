// Hooks that come and go while the guest runs.
import { beforeEach, describe, expect, test } from "vitest";
import { random } from "../net/setup.ts";
import { answer, BLOCK, BLOCK_SIZE, PHYSICAL_BITS, Space } from "./space.ts";
import { GIB, MIB, PAGE } from "./tables.ts";

const HERE = 2 * GIB + 5 * MIB;
const END = 2 ** PHYSICAL_BITS;
const MOST = 32;

let space: Space;
beforeEach(() => {
  space = new Space();
});

/** The devices that answered since last asked. */
function answered(): number[] {
  return space.accesses.splice(0).map(({ device }) => device);
}

test("neighbours in one page answer each for themselves, and the page is the guest's again after the last", () => {
  expect([space.hook(HERE + 8, 8, 1), space.hook(HERE + 16, 4, 2), space.hook(HERE, 8, 0)]).toEqual([true, true, true]);
  for (const [offset, device] of [
    [0, 0],
    [4, 0],
    [8, 1],
    [12, 1],
    [16, 2],
  ] as const) {
    expect(space.read(HERE + offset, 4)).toBe(answer(device, HERE + offset, 4));
    expect(answered()).toEqual([device]);
  }
  space.write(HERE + 20, 4, 0x1234_5678n);
  expect(answered()).toEqual([]);
  space.unhook(HERE + 8);
  space.write(HERE + 8, 8, 0x55n);
  expect([space.read(HERE + 8, 8), space.read(HERE + 20, 4)]).toEqual([0x55n, 0x1234_5678n]);
  expect(space.page(HERE)).toBeUndefined();
  space.unhook(HERE);
  space.unhook(HERE + 16);
  expect(space.page(HERE)).toMatchObject({ address: HERE, size: GIB });
  expect([space.read(HERE, 4), space.read(HERE + 8, 8)]).toEqual([0n, 0x55n]);
  expect(answered()).toEqual([]);
});

test.each([
  ["the same", 0, 0x100],
  ["a part", 0x40, 1],
  ["all and more", -0x10, 0x200],
  ["the first byte", -1, 2],
  ["the last byte", 0xff, 1],
])("a range over %s of another's is refused, and nothing changes", (_name, offset, length) => {
  space.hook(HERE + 0x800, 0x100, 1);
  expect(space.hook(HERE + 0x800 + offset, length, 2)).toBe(false);
  expect([space.read(HERE + 0x800, 4), space.read(HERE + 0x8fc, 4)]).toEqual(
    [0x800, 0x8fc].map((at) => answer(1, HERE + at, 4)),
  );
  space.unhook(HERE + 0x800);
  expect(space.page(HERE)).toMatchObject({ size: GIB });
});

test("an access across the border of a hook goes to each by its bytes", () => {
  space.hook(HERE + 8, 4, 1);
  space.write(HERE + 4, 4, 0x4433_2211n);
  space.write(HERE + 12, 4, 0x8877_6655n);
  answered();
  const before = space.read(HERE + 4, 8);
  expect(before).toBe((answer(1, HERE + 8, 4) << 32n) | 0x4433_2211n);
  const after = space.read(HERE + 10, 4);
  expect(after).toBe((0x6655n << 16n) | answer(1, HERE + 10, 2));
  expect(space.accesses.splice(0).map(({ address, width }) => [address - HERE, width])).toEqual(
    [8, 9, 10, 11, 10, 11].map((at) => [at, 1]),
  );
  space.write(HERE + 6, 4, 0xddcc_bbaan);
  expect(space.accesses.splice(0).map(({ value }) => value)).toEqual([0xccn, 0xddn]);
  expect(space.read(HERE + 4, 4)).toBe(0xbbaa_2211n);
});

test("a hook across the border of a page, of 2 MiB and of 1 GiB holds on both sides", () => {
  for (const border of [HERE + PAGE, HERE + MIB, 3 * GIB]) {
    space.hook(border - 2, 4, 3);
    expect([space.page(border - 1), space.page(border)]).toEqual([undefined, undefined]);
    expect([space.read(border - 2, 2), space.read(border, 2)]).toEqual([
      answer(3, border - 2, 2),
      answer(3, border, 2),
    ]);
    for (const beside of [border - PAGE - 1, border + PAGE]) expect(space.page(beside)).toBeDefined();
    space.unhook(border - 2);
    expect([space.page(border - 1), space.page(border)]).toMatchObject([{ size: GIB }, { size: GIB }]);
  }
});

describe("a device that is asked", () => {
  test("hooks further pages, which answer at once", () => {
    space.hook(HERE, PAGE, 1);
    space.onDevice = ({ device }) => {
      if (device === 1) expect(space.hook(HERE + PAGE, 3 * MIB, 2)).toBe(true);
    };
    expect(space.read(HERE, 4)).toBe(answer(1, HERE, 4));
    space.onDevice = () => undefined;
    expect(space.read(HERE + 2 * MIB, 8)).toBe(answer(2, HERE + 2 * MIB, 8));
    expect(answered()).toEqual([1, 2]);
  });

  test("ends its own hook, or moves it", () => {
    space.hook(HERE, 0x20, 1);
    space.onDevice = () => {
      space.unhook(HERE);
      expect(space.hook(HERE + 2 * PAGE, 0x20, 1)).toBe(true);
    };
    space.write(HERE + 4, 4, 1n);
    expect(space.page(HERE)).toBeDefined();
    space.write(HERE + 4, 4, 7n);
    space.onDevice = () => undefined;
    expect([space.read(HERE + 4, 4), space.read(HERE + 2 * PAGE, 4)]).toEqual([7n, answer(1, HERE + 2 * PAGE, 4)]);
    expect(answered()).toEqual([1, 1]);
  });
});

describe("at the end of memory", () => {
  test("the last byte can be hooked", () => {
    expect(space.hook(END - 1, 1, 5)).toBe(true);
    expect(space.read(END - 1, 1)).toBe(answer(5, END - 1, 1));
    space.write(END - 2, 1, 9n);
    expect([space.read(END - 2, 1), answered()]).toEqual([9n, [5]]);
    space.unhook(END - 1);
    expect(space.page(END - 1)).toMatchObject({ size: GIB });
  });

  test.each([
    ["beyond it", END, 1],
    ["across it", END - 1, 2],
    ["that is empty", HERE, 0],
    ["in Sheer's block", BLOCK + PAGE, PAGE],
    ["across the block's start", BLOCK - 1, 2],
    ["across the block's end", BLOCK + BLOCK_SIZE - 1, 2],
    ["around the block", BLOCK - PAGE, BLOCK_SIZE + 2 * PAGE],
    ["that wraps around", 2 ** 64 - 4096, 8192],
  ])("and elsewhere a range %s is refused", (_name, base, length) => {
    expect(space.hook(base, length, 0)).toBe(false);
    for (const at of [HERE, END - 1]) expect(space.page(at)).toMatchObject({ size: GIB });
    expect(space.page(BLOCK)).toMatchObject({ size: PAGE, writable: false });
  });
});

test("there is room for a number of hooks; one more is refused until another goes", () => {
  const base = (n: number): number => HERE + n * 3 * MIB;
  for (let n = 0; n < MOST; n++) expect(space.hook(base(n), 4, n)).toBe(true);
  expect(space.hook(base(MOST), 4, MOST)).toBe(false);
  space.unhook(base(7));
  expect(space.hook(base(MOST), 4, MOST)).toBe(true);
  for (let n = 0; n <= MOST; n++) {
    const expected = n === 7 ? 0n : answer(n, base(n), 4);
    expect(space.read(base(n), 4)).toBe(expected);
  }
});

test("at random: each byte is its device's, or memory that keeps what was written", () => {
  const next = random(77);
  const hooks = new Map<number, { end: number; device: number }>();
  const bytes = new Map<number, bigint>();
  const start = 3 * GIB - 4 * PAGE;
  const place = (): number =>
    start + next(8) * PAGE + next(3) * 2 * MIB + [0, next(16), PAGE - 8, next(PAGE - 8)][next(4)]!;
  const hookAt = (at: number): number | undefined =>
    [...hooks].find(([base, { end }]) => at >= base && at < end)?.[1].device;
  for (let i = 0; i < 1500; i++) {
    const at = place();
    const kind = next(4);
    if (kind === 0) {
      const end = at + [1, 4, 8, PAGE, 3 * PAGE][next(5)]!;
      const free = hooks.size < MOST && ![...hooks].some(([base, hook]) => at < hook.end && end > base);
      const device = next(8);
      expect(space.hook(at, end - at, device)).toBe(free);
      if (free) hooks.set(at, { end, device });
    } else if (kind === 1 && hooks.size > 0) {
      const base = [...hooks.keys()][next(hooks.size)]!;
      space.unhook(base);
      hooks.delete(base);
    } else if (kind === 2) {
      const value = BigInt(next(256));
      space.write(at, 1, value);
      if (hookAt(at) === undefined) bytes.set(at, value);
    } else {
      const device = hookAt(at);
      expect(space.read(at, 1)).toBe(device === undefined ? (bytes.get(at) ?? 0n) : answer(device, at, 1));
    }
  }
  for (const base of hooks.keys()) space.unhook(base);
  for (let at = start; at < start + 8 * MIB; at += MIB) expect(space.page(at)).toMatchObject({ size: GIB });
});
