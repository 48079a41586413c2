// Extended page tables (SDM 3, 29.3).
import { type NestedFault, type NestedPage, Right } from "../guest/nested.ts";
import { pageBytes, tableIndex } from "../guest/paging.ts";
import type { PhysicalMemory } from "../memory.ts";

const RIGHTS = 7n;
const LARGE = 1n << 7n;
const FRAME = 0xf_ffff_ffff_f000n;
/** Bits of an entry that leads to a table: 7:3 must be zero. */
const TABLE_RESERVED = 0xf8n;
/** Memory types that a page may have: UC, WC, WT, WP, WB. */
const TYPES = [0n, 1n, 4n, 5n, 6n];

/** The page around a guest-physical address; "reserved" is a misconfiguration (29.3.3.1). */
export function walkExtendedTables(
  memory: PhysicalMemory,
  pointer: bigint,
  address: number,
): NestedPage | "absent" | "reserved" {
  let table = Number(pointer & FRAME);
  let rights = RIGHTS;
  for (let level = 4; level > 0; level--) {
    const entry = memory.read64(table + 8 * tableIndex(address, level));
    if (!(entry & RIGHTS)) return "absent";
    const isPage = level === 1 || (entry & LARGE) !== 0n;
    if (isMisconfigured(entry, level, isPage)) return "reserved";
    rights &= entry;
    if (!isPage) {
      table = Number(entry & FRAME);
      continue;
    }
    const offset = BigInt(pageBytes(level) - 1);
    return { frame: Number((entry & FRAME & ~offset) | (BigInt(address) & offset)), rights: Number(rights) };
  }
  throw new Error("a page walk ends at level 1");
}

function isMisconfigured(entry: bigint, level: number, isPage: boolean): boolean {
  const writeOnly = (entry & 3n) === 2n;
  if (writeOnly) return true;
  if (!isPage) return (entry & TABLE_RESERVED) !== 0n;
  const offset = BigInt(pageBytes(level) - 1);
  return level === 4 || (entry & FRAME & offset) !== 0n || !TYPES.includes((entry >> 3n) & 7n);
}

const LINEAR_VALID = 1n << 7n;
const FINAL = 1n << 8n;

/** The qualification of an EPT violation (table 28-7). Where accessed bits are kept, a walk reads and writes. */
export function violation({ access, tables, rights }: NestedFault): bigint {
  const read = access.fetch || (access.write && !tables) ? 0 : Right.Read;
  const kind = read | (access.write ? Right.Write : 0) | (access.fetch ? Right.Execute : 0);
  return BigInt(kind | (rights << 3)) | LINEAR_VALID | (tables ? 0n : FINAL);
}
