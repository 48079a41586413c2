// How processors walk nested page tables: AMD64 Architecture Programmer's Manual volume 2, 5.3 and 15.25; Intel SDM 3, 29.3.2.

export interface Page {
  /** Where the address leads to. */
  readonly address: number;
  readonly size: number;
  readonly writable: boolean;
  readonly executable: boolean;
  /** Of the entry, in Intel's format. */
  readonly type: number | undefined;
}

export type Format = "NPT" | "EPT";

const FRAME = 0xf_ffff_ffff_f000n;
const LARGE = 1n << 7n;
/** The bits that an entry needs for anything to be there, and those that the processor reserves. */
const FORMATS = {
  NPT: {
    present: (entry: bigint) => (entry & 1n) !== 0n,
    // All accesses of a guest are user accesses.
    permits: (entry: bigint) => ({ read: (entry & 4n) !== 0n, write: (entry & 2n) !== 0n, execute: !(entry >> 63n) }),
    reserved: () => 0n,
  },
  EPT: {
    present: (entry: bigint) => (entry & 7n) !== 0n,
    permits: (entry: bigint) => ({
      read: (entry & 1n) !== 0n,
      write: (entry & 2n) !== 0n,
      execute: (entry & 4n) !== 0n,
    }),
    reserved: (page: boolean) => (page ? 0n : 0xf8n),
  },
} as const;

/** Reads 64 bits at a physical address. */
export type Read = (address: number) => bigint;

/** The page that an address lies in, or undefined where nothing is mapped; throws where the processor finds a mistake. */
export function walk(format: Format, read: Read, root: number, levels: number, address: number): Page | undefined {
  const { present, permits, reserved } = FORMATS[format];
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
    const low = page ? BigInt(size - 1) & FRAME : 0n;
    if (page && level > 3) throw new Error(`a page at level ${level}`);
    if ((entry & (low | reserved(page))) !== 0n) throw new Error(`reserved bits in ${entry.toString(16)}`);
    if (!rights.read) throw new Error(`an entry that cannot be read: ${entry.toString(16)}`);
    table = Number(entry & FRAME);
    if (!page) continue;
    const type = format === "EPT" ? Number((entry >> 3n) & 7n) : undefined;
    return { address: table + (address % size), size, writable: rights.write, executable: rights.execute, type };
  }
}
