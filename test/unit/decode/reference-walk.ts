// The rules of the guest's paging once more, as the manual's tables give them and without regard to speed, for the
// tests of src/memory/translate.ts to compare with.

export interface Paging {
  cr0: bigint;
  cr3: bigint;
  cr4: bigint;
  efer: bigint;
  rflags: bigint;
  cpl: number;
  /** PKRU; nothing is forbidden without one. */
  pkru?: number;
}
export type Kind = "read" | "write" | "fetch";

/** An entry that was used, and the bits the processor sets in it. */
interface Used {
  address: bigint;
  bits: bigint;
}
export type Walk = { physical: bigint; used: Used[] } | { error: number };

const bit = (value: bigint, index: number): boolean => ((value >> BigInt(index)) & 1n) === 1n;
const field = (value: bigint, high: number, low: number): bigint =>
  BigInt.asUintN(high - low + 1, value >> BigInt(low));

/** One level: which bits of the linear address index it, and what its entries may be. */
interface Level {
  high: number;
  low: number;
  entryBytes: 4 | 8;
  /** Whether bit 7 maps a page here, and what bits are reserved then. */
  large: boolean;
  largeReserved: [number, number][];
  reserved: [number, number][];
  /** Whether the entry has rights and an accessed bit. */
  rights: boolean;
}

function levels({ cr4, efer }: Paging, physicalBits: number): Level[] {
  const long = bit(efer, 10);
  const pae = bit(cr4, 5);
  if (!pae) {
    const large: [number, number][] = [[21, 21]];
    if (physicalBits < 40) large.push([20, physicalBits - 32 + 13]);
    return [
      { high: 31, low: 22, entryBytes: 4, large: bit(cr4, 4), largeReserved: large, reserved: [], rights: true },
      { high: 21, low: 12, entryBytes: 4, large: false, largeReserved: [], reserved: [], rights: true },
    ];
  }
  const reserved: [number, number][] = [[51, physicalBits]];
  if (!long) reserved.push([62, 52]);
  if (!bit(efer, 11)) reserved.push([63, 63]);
  const level = (high: number, low: number, large: boolean): Level => {
    const never: [number, number][] = !large && low > 12 ? [[7, 7]] : [];
    const largeReserved: [number, number][] = [...reserved, [low - 1, 13]];
    return { high, low, entryBytes: 8, large, largeReserved, reserved: [...reserved, ...never], rights: true };
  };
  const lowest = [level(29, 21, true), level(20, 12, false)];
  if (!long) {
    const pointer = level(31, 30, false);
    pointer.reserved = [
      [63, 52],
      [51, physicalBits],
      [8, 5],
      [2, 1],
    ];
    pointer.rights = false;
    return [pointer, ...lowest];
  }
  const four = [level(47, 39, false), level(38, 30, true), ...lowest];
  return bit(cr4, 12) ? [level(56, 48, false), ...four] : four;
}

export function referenceWalk(
  paging: Paging,
  linear: bigint,
  kind: Kind,
  physicalBits: number,
  read: (address: bigint, bytes: 4 | 8) => bigint,
): Walk {
  if (!bit(paging.cr0, 31)) return { physical: BigInt.asUintN(32, linear), used: [] };
  const { cr0, cr4, efer, cpl } = paging;
  const user = cpl === 3;
  const noExecute = bit(efer, 11) && bit(cr4, 5);
  const code = (present: boolean, reserved: boolean) =>
    (present ? 1 : 0) |
    (kind === "write" ? 2 : 0) |
    (user ? 4 : 0) |
    (reserved ? 8 : 0) |
    (kind === "fetch" && (noExecute || bit(cr4, 20)) ? 16 : 0);

  const path = levels(paging, physicalBits);
  const used: Used[] = [];
  const entries: bigint[] = [];
  let table = bit(efer, 10) ? field(paging.cr3, 51, 12) << 12n : field(paging.cr3, 31, bit(cr4, 5) ? 5 : 12);
  if (!bit(efer, 10)) table <<= bit(cr4, 5) ? 5n : 12n;
  for (const [depth, level] of path.entries()) {
    const address = table + field(linear, level.high, level.low) * BigInt(level.entryBytes);
    const entry = read(address, level.entryBytes);
    if (!bit(entry, 0)) return { error: code(false, false) };
    const isPage = depth === path.length - 1 || (level.large && bit(entry, 7));
    const isLarge = isPage && level.low > 12;
    const reserved = isLarge ? level.largeReserved : level.reserved;
    if (reserved.some(([high, low]) => high >= low && field(entry, high, low))) return { error: code(true, true) };
    if (level.rights) entries.push(entry);
    if (level.rights && !isPage) used.push({ address, bits: 0x20n });
    if (!isPage) {
      table = field(entry, level.entryBytes === 4 ? 31 : 51, 12) << 12n;
      continue;
    }
    const all = (index: number) => entries.every((e) => bit(e, index));
    const allowed = ((): boolean => {
      const writable = all(1);
      const userPage = all(2);
      if (kind === "fetch") {
        if (entries.some((e) => bit(e, 63))) return false;
        return user ? userPage : !(userPage && bit(cr4, 20));
      }
      if (user) return userPage && (kind === "read" || writable);
      if (userPage && bit(cr4, 21) && !bit(paging.rflags, 18)) return false;
      return kind === "read" || writable || !bit(cr0, 16);
    })();
    if (!allowed) return { error: code(true, false) };
    if (bit(efer, 10) && bit(cr4, 22) && all(2) && kind !== "fetch") {
      const key = Number(field(entry, 62, 59));
      const accessDisabled = bit(BigInt(paging.pkru ?? 0), 2 * key);
      const writeDisabled = bit(BigInt(paging.pkru ?? 0), 2 * key + 1) && (user || bit(cr0, 16));
      if (accessDisabled || (writeDisabled && kind === "write")) return { error: code(true, false) | 32 };
    }
    used.push({ address, bits: kind === "write" ? 0x60n : 0x20n });
    const offset = BigInt.asUintN(level.low, linear);
    if (level.entryBytes === 4 && isLarge) {
      return { physical: (field(entry, 20, 13) << 32n) | (field(entry, 31, 22) << 22n) | offset, used };
    }
    const high = level.entryBytes === 4 ? 31 : 51;
    return { physical: (field(entry, high, level.low) << BigInt(level.low)) | offset, used };
  }
  throw new Error("the last level maps a page");
}
