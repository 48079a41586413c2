import { describe, expect, test } from "vitest";
import { Guest, Outcome, Vector, randomNumbers } from "./guest.ts";
import { type Kind, type Paging, referenceWalk } from "./reference-walk.ts";

// Walks of the guest's page tables (src/memory/translate.ts) in every paging mode.

const PHYSICAL_BITS = 40;
const BLOCK = 0xf0_0000n;
const ACCESS: Record<Kind, number> = { read: 0, write: 2, fetch: 16 };
const KINDS: Kind[] = ["read", "write", "fetch"];

const Cr0 = { Pe: 1n << 0n, Wp: 1n << 16n, Pg: 1n << 31n };
const Cr4 = { Pse: 1n << 4n, Pae: 1n << 5n, La57: 1n << 12n, Smep: 1n << 20n, Smap: 1n << 21n, Pke: 1n << 22n };
const Efer = { Lma: 1n << 10n, Nxe: 1n << 11n };
const AC = 1n << 18n;

const MODES: Record<string, Partial<Paging>> = {
  "no paging": { cr0: Cr0.Pe },
  "32-bit": { cr4: 0n },
  "32-bit with 4-MiB pages": { cr4: Cr4.Pse },
  PAE: { cr4: Cr4.Pae },
  "4-level": { cr4: Cr4.Pae, efer: Efer.Lma },
  "5-level": { cr4: Cr4.Pae | Cr4.La57, efer: Efer.Lma },
};

const guest = new Guest();
guest.core.begin(PHYSICAL_BITS, BLOCK, 0x10_0000n);

function enter(mode: string, more: Partial<Paging> = {}): Paging {
  const base: Paging = { cr0: Cr0.Pe | Cr0.Pg, cr3: 0x10_0000n, cr4: 0n, efer: 0n, rflags: 2n, cpl: 0 };
  const own = MODES[mode]!;
  const paging = { ...base, ...more, ...own };
  paging.cr0 = own.cr0 ?? base.cr0 | (more.cr0 ?? 0n);
  paging.cr4 = (own.cr4 ?? 0n) | (more.cr4 ?? 0n);
  paging.efer = (own.efer ?? 0n) | (more.efer ?? 0n);
  guest.setControl(paging);
  guest.pkru = paging.pkru ?? 0;
  guest.set("rflags", paging.rflags);
  guest.setMode(paging.efer & Efer.Lma ? 64 : 32, paging.cpl);
  return paging;
}

type Result = { physical: bigint } | { error: number };

function walk(linear: bigint, kind: Kind): Result {
  const result = BigInt.asUintN(64, guest.core.walk(linear, ACCESS[kind]));
  return result >> 63n ? { error: Number(result & 0xffffn) } : { physical: result };
}

const write64 = (address: bigint, value: bigint) => guest.view.setBigUint64(Number(address), value, true);
const read64 = (address: bigint) => guest.view.getBigUint64(Number(address), true);

/** Memory as the walk should see it: nothing in Sheer's block, all ones where there is none. */
function readPhysical(address: bigint, bytes: 4 | 8): bigint {
  if (address + BigInt(bytes) > BLOCK && address < BLOCK + 0x10_0000n) return 0n;
  if (address >= BigInt(guest.memory.length)) return bytes === 8 ? 0xffff_ffff_ffff_ffffn : 0xffff_ffffn;
  return bytes === 8 ? read64(address) : BigInt(guest.view.getUint32(Number(address), true));
}

/** Fills the tables at 0x100000 and up with entries that lead on to tables, with some of the rare bits set. */
function randomTables(random: () => number, entryBytes: 4 | 8): void {
  const rare = (probability: number, value: bigint) => (random() % probability === 0 ? value : 0n);
  for (let at = 0x10_0000n; at < 0x10_8000n; at += BigInt(entryBytes)) {
    let entry = 0x07n & ~rare(6, 2n) & ~rare(6, 4n) & ~rare(30, 1n);
    entry |= BigInt(random() & 0xe60) | rare(4, 0x80n);
    const frame = random() % 40;
    // Mostly another table; at times the block, memory that is not there, or a large page's frame
    if (frame < 32) entry |= BigInt(0x10_0000 + (frame & 7) * 0x1000);
    else if (frame < 34) entry |= BLOCK;
    else if (frame < 36) entry |= 0x4000_0000n | rare(2, 0x1000n);
    else entry |= BigInt(random() & 0x00c0_0000) | rare(2, 0x1f_e000n);
    if (entryBytes === 8) {
      entry |=
        rare(8, 1n << 63n) |
        rare(40, 1n << BigInt(40 + (random() % 12))) |
        rare(30, 1n << BigInt(52 + (random() % 11)));
      entry |= rare(5, BigInt(random() & 0xff) << 32n);
      write64(at, entry);
    } else {
      guest.view.setUint32(Number(at), Number(BigInt.asUintN(32, entry)), true);
    }
  }
}

describe.each(Object.keys(MODES))("%s paging", (mode) => {
  test("finds what the manual's rules give, in random tables with random rights", () => {
    const random = randomNumbers(0xbeef + mode.length * 7);
    const entryBytes = mode.startsWith("32-bit") ? 4 : 8;
    const some = (value: bigint) => (random() & 1 ? value : 0n);
    const outcomes = new Set<string>();
    const wrong: string[] = [];
    for (let round = 0; round < 12; round++) {
      randomTables(random, entryBytes);
      if (mode === "PAE" && round % 8) {
        // Page-directory-pointer entries have no rights: what randomTables gives them is reserved.
        for (let at = 0x10_0000n; at < 0x10_0020n; at += 8n) write64(at, read64(at) & 0xff_ffff_fe19n);
      }
      const paging = enter(mode, {
        cr0: some(Cr0.Wp),
        cr4: some(Cr4.Smep) | some(Cr4.Smap) | some(Cr4.Pke),
        pkru: random(),
        efer: some(Efer.Nxe),
        rflags: 2n | some(AC),
        cpl: random() & 1 ? 3 : 0,
      });
      for (let i = 0; i < 50; i++) {
        const linear = BigInt.asUintN(mode.includes("level") ? 57 : 32, (BigInt(random()) << 32n) | BigInt(random()));
        const kind = KINDS[random() % 3]!;
        const expected = referenceWalk(paging, linear, kind, PHYSICAL_BITS, readPhysical);
        const actual = walk(linear, kind);
        const what = `${linear.toString(16)} ${kind}`;
        if ("error" in expected) {
          if (!("error" in actual && actual.error === expected.error))
            wrong.push(`${what}: not error ${expected.error}`);
          outcomes.add(`error ${expected.error & 9}`);
        } else {
          const { physical, used } = expected;
          if (!("physical" in actual && actual.physical === physical)) wrong.push(`${what}: not ${physical}`);
          const unmarked = used.filter(({ address, bits }) => (readPhysical(address, 4) & bits) !== bits);
          if (unmarked.length) wrong.push(`${what}: accessed and dirty bits`);
          outcomes.add(`${used.length} levels`);
        }
      }
    }
    expect(wrong).toEqual([]);
    if (mode !== "no paging") expect(outcomes.size).toBeGreaterThan(2); // the tables were not all of one kind
  });
});

test.each<[string, string, number, bigint, bigint]>([
  ["4 KiB", "32-bit", 2, 0x20_0000n, 0x80n],
  ["4 MiB", "32-bit with 4-MiB pages", 1, 0x40_0080n, 0x1000n],
  ["4 KiB", "4-level", 4, 0x20_0000n, 0x80n],
  ["2 MiB", "4-level", 3, 0x20_0080n, 0x1000n],
  ["1 GiB", "4-level", 2, 0x4000_0080n, 0x1000n],
])("the PAT bit of a page of %s, %s, is none of its address", (_size, mode, levels, page, bit) => {
  enter(mode);
  const store =
    mode === "4-level" ? write64 : (at: bigint, value: bigint) => guest.view.setUint32(Number(at), Number(value), true);
  const last = 0x10_0000n + BigInt(levels - 1) * 0x1000n;
  for (let at = 0x10_0000n; at < last; at += 0x1000n) store(at, (at + 0x1000n) | 3n);
  for (const caching of [0n, 0x18n]) {
    store(last, page | bit | caching | 3n);
    expect(walk(0x123n, "write")).toEqual({ physical: (page & ~0x80n) | 0x123n });
  }
});

describe("rights in 4-level paging", () => {
  const bits = { present: 1n, writable: 2n, user: 4n, noExecute: 1n << 63n };

  test("are those of all levels together, for each access, privilege and protection", () => {
    write64(0x10_0000n, 0x10_1000n | 7n);
    write64(0x10_1000n, 0x10_2000n | 7n);
    const wrong: string[] = [];
    for (let n = 0; n < 1 << 11; n++) {
      const has = (index: number) => ((n >> index) & 1) === 1;
      const upper = 1n | (has(0) ? bits.writable : 0n) | (has(1) ? bits.user : 0n) | (has(2) ? bits.noExecute : 0n);
      const leaf = 1n | (has(3) ? bits.writable : 0n) | (has(4) ? bits.user : 0n) | (has(5) ? bits.noExecute : 0n);
      const paging = enter("4-level", {
        cr0: has(6) ? Cr0.Wp : 0n,
        cr4: (has(7) ? Cr4.Smep : 0n) | (has(8) ? Cr4.Smap : 0n),
        efer: Efer.Nxe,
        rflags: has(9) ? AC : 0n,
        cpl: has(10) ? 3 : 0,
      });
      for (const kind of KINDS) {
        write64(0x10_2000n, upper | 0x10_3000n);
        write64(0x10_3000n, leaf | 0x20_0000n);
        const expected = referenceWalk(paging, 0x123n, kind, PHYSICAL_BITS, readPhysical);
        const actual = walk(0x123n, kind);
        const same = "error" in expected ? "error" in actual && actual.error === expected.error : "physical" in actual;
        if (!same) wrong.push(`${n.toString(2)} ${kind}`);
        const dirty = (read64(0x10_3000n) & 0x60n) !== 0n;
        if (dirty !== "physical" in expected) wrong.push(`${n.toString(2)} ${kind}: accessed bit of the page`);
      }
    }
    expect(wrong).toEqual([]);
  });
});

describe("protection keys", () => {
  test.each(["4-level", "5-level"])("of user pages hold for data in %s paging, by both bits of each key", (mode) => {
    const wrong: string[] = [];
    const errors = new Set<number>();
    for (let n = 0; n < 1 << 10; n++) {
      const has = (index: number) => ((n >> index) & 1) === 1;
      const key = BigInt((n >> 4) & 15);
      const user = has(0) ? 4n : 0n;
      const paging = enter(mode, {
        cr0: has(1) ? Cr0.Wp : 0n,
        cr4: has(2) ? Cr4.Pke : 0n,
        efer: Efer.Nxe,
        cpl: has(3) ? 3 : 0,
        pkru: [0x5555_5555, 0xaaaa_aaaa, 0x0000_0004, 0xffff_fff7][n >> 8]!,
      });
      for (const kind of KINDS) {
        for (let at = 0x10_0000n; at < 0x10_4000n; at += 0x1000n) write64(at, (at + 0x1000n) | 7n);
        const last = mode === "4-level" ? 0x10_3000n : 0x10_4000n;
        write64(last, 0x20_0003n | user | (key << 59n));
        const expected = referenceWalk(paging, 0x123n, kind, PHYSICAL_BITS, readPhysical);
        const actual = walk(0x123n, kind);
        if ("error" in expected) errors.add(expected.error);
        const same = "error" in expected ? "error" in actual && actual.error === expected.error : "physical" in actual;
        if (!same) wrong.push(`${n.toString(2)} ${kind}`);
      }
    }
    expect(wrong).toEqual([]);
    // P and PK, with R/W and U/S as the access was
    expect([...errors].filter((error) => error & 32).sort((a, b) => a - b)).toEqual([0x21, 0x23, 0x25, 0x27]);
  });

  test("are bits that mean nothing in PAE paging's tables but that they are reserved, and nothing without CR4.PKE", () => {
    write64(0x10_0000n, 0x10_1001n);
    write64(0x10_1000n, 0x10_2007n);
    write64(0x10_2000n, 0x20_0007n);
    enter("PAE", { cr4: Cr4.Pke, pkru: 0xffff_ffff });
    expect(walk(0x123n, "write")).toEqual({ physical: 0x20_0123n });
  });
});

describe("tables that lead nowhere good", () => {
  test("a table that contains itself maps itself", () => {
    enter("4-level");
    for (let at = 0x10_0000n; at < 0x10_1000n; at += 8n) write64(at, 0x10_0003n);
    expect(walk(0x7fff_1234_5678n, "read")).toEqual({ physical: 0x10_0678n });
    enter("5-level");
    expect(walk(0x7fff_1234_5678n, "write")).toEqual({ physical: 0x10_0678n });
  });

  test("Sheer's own block reads as entries that are not present, and is not written", () => {
    guest.memory.fill(0x67, Number(BLOCK), Number(BLOCK) + 0x1000);
    for (const mode of ["32-bit", "PAE", "4-level", "5-level"]) {
      enter(mode, { cr3: BLOCK });
      expect(walk(0x1000n, "write")).toEqual({ error: 2 });
    }
    enter("4-level");
    write64(0x10_0000n, BLOCK | 7n);
    expect(walk(0n, "write")).toEqual({ error: 2 });
    expect(guest.memory.subarray(Number(BLOCK), Number(BLOCK) + 0x1000).every((byte) => byte === 0x67)).toBe(true);
  });

  test("tables over a device's registers are never written", () => {
    const device = 0x30_0000n;
    guest.core.hook(device, 0x1000n);
    enter("4-level", { cr3: device });
    write64(device, device | 3n);
    expect(walk(0n, "write")).toEqual({ physical: device });
    expect(read64(device)).toBe(device | 3n);
    guest.core.unhook(device);
  });

  test("memory that is not there reads as ones: reserved bits", () => {
    enter("4-level");
    write64(0x10_0000n, 0x80_0000_0000n | 7n);
    expect(walk(0n, "read")).toEqual({ error: 9 });
    write64(0x10_0000n, 0x100_0000_0000n | 7n); // beyond the machine's width
    expect(walk(0n, "read")).toEqual({ error: 9 });
  });
});

describe("addresses that are not canonical", () => {
  const mov = [0x8b, 0x03]; // mov (%rbx), %eax
  const movStack = [0x8b, 0x45, 0x00]; // mov (%rbp), %eax

  test("raise #GP, or #SS on the stack, and 57 bits have more that are", () => {
    guest.longMode();
    guest.code(mov);
    for (const address of [0x8000_0000_0000n, 0xffff_7fff_ffff_ffffn, 0x7fff_ffff_fffen]) {
      guest.set("rbx", address);
      expect(guest.core.step()).toBe(Outcome.Faulted);
      expect([guest.exception, guest.error]).toEqual([Vector.GeneralProtection, 0]);
    }
    guest.setControl({ cr4: 0x1620n });
    guest.set("rbx", 0x8000_0000_0000n);
    expect(guest.core.step()).toBe(Outcome.Faulted);
    expect(guest.exception).toBe(Vector.PageFault); // its tables are those of 4 levels
    guest.longMode();
    guest.code(movStack);
    guest.set("rbp", 0x8000_0000_0000n);
    expect(guest.core.step()).toBe(Outcome.Faulted);
    expect(guest.exception).toBe(Vector.StackFault);
    expect(guest.get("rip")).toBe(0x1000n);
  });
});
