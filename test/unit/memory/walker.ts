// How processors walk nested page tables: AMD64 Architecture Programmer's Manual volume 2, 5.3 and 15.25; Intel SDM 3, 29.3.2.

export interface Page {
  /** Where the address leads to. */
  readonly address: number;
  readonly size: number;
  readonly writable: boolean;
  readonly executable: boolean;
  /** Of the entry, in Intel's format. */
  readonly type: number | undefined;
  /** Of the entry, in AMD's format: which of the PAT's types. In Intel's it is the guest's entry that has one: -1 if not. */
  readonly pat: number | undefined;
}

export type Format = "NPT" | "EPT";

const FRAME = 0xf_ffff_ffff_f000n;
const LARGE = 1n << 7n;
/** PWT and PCD, and PAT where pages of 4 KiB and where larger ones have it (AMD APM 2, 7.8.2). */
const CACHING = 3n << 3n;
const PAT = 1n << 7n;
const LARGE_PAT = 1n << 12n;
/** Ignore PAT: the guest's own entry has no say (Intel SDM 3, 29.3.7.2). */
const IGNORE_PAT = 1n << 6n;
/** The bits that an entry needs for anything to be there, and those that the processor reserves. */
const FORMATS = {
  NPT: {
    present: (entry: bigint) => (entry & 1n) !== 0n,
    // All accesses of a guest are user accesses.
    permits: (entry: bigint) => ({ read: (entry & 4n) !== 0n, write: (entry & 2n) !== 0n, execute: !(entry >> 63n) }),
    reserved: () => 0n,
    addressBits: FRAME & ~LARGE_PAT,
    pat: (entry: bigint, size: number) =>
      Number((entry & CACHING) >> 3n) | ((entry & (size === 4096 ? PAT : LARGE_PAT)) === 0n ? 0 : 4),
  },
  EPT: {
    present: (entry: bigint) => (entry & 7n) !== 0n,
    permits: (entry: bigint) => ({
      read: (entry & 1n) !== 0n,
      write: (entry & 2n) !== 0n,
      execute: (entry & 4n) !== 0n,
    }),
    reserved: (page: boolean) => (page ? 0n : 0xf8n),
    addressBits: FRAME,
    pat: (entry: bigint) => ((entry & IGNORE_PAT) === 0n ? undefined : -1),
  },
} as const;

/** Reads 64 bits at a physical address. */
export type Read = (address: number) => bigint;

/** The page that an address lies in, or undefined where nothing is mapped; throws where the processor finds a mistake. */
export function walk(format: Format, read: Read, root: number, levels: number, address: number): Page | undefined {
  const { present, permits, reserved, addressBits, pat } = FORMATS[format];
  let table = root;
  let rights = { read: true, write: true, execute: true };
  for (let level = levels; ; level--) {
    const size = 2 ** (12 + 9 * (level - 1));
    const entry = read(table + 8 * (Math.floor(address / size) % 512));
    if (!present(entry)) return undefined;
    const own = permits(entry);
    rights = {
      read: rights.read && own.read,
      write: rights.write && own.write,
      execute: rights.execute && own.execute,
    };
    const page = level === 1 || (entry & LARGE) !== 0n;
    const low = page ? BigInt(size - 1) & addressBits : 0n;
    if (page && level > 3) throw new Error(`a page at level ${level}`);
    if ((entry & (low | reserved(page))) !== 0n) throw new Error(`reserved bits in ${entry.toString(16)}`);
    if (!rights.read) throw new Error(`an entry that cannot be read: ${entry.toString(16)}`);
    table = Number(entry & FRAME & ~BigInt(page ? size - 1 : 0));
    if (!page) continue;
    const type = format === "EPT" ? Number((entry >> 3n) & 7n) : undefined;
    const { write: writable, execute: executable } = rights;
    return { address: table + (address % size), size, writable, executable, type, pat: pat(entry, size) };
  }
}
