// Nested paging (APM 2, 15.25): tables of the long-mode format, in which every access is a user's.
import { type NestedFault, type NestedPage, Right } from "../guest/nested.ts";
import { pageBytes, tableIndex } from "../guest/paging.ts";
import type { PhysicalMemory } from "../memory.ts";

const Entry = { Present: 1n, Writable: 2n, User: 4n, Large: 1n << 7n, NoExecute: 1n << 63n } as const;
const Info = {
  Present: 1n,
  Write: 2n,
  User: 4n,
  Reserved: 8n,
  Fetch: 16n,
  Final: 1n << 32n,
  Tables: 1n << 33n,
} as const;
const FRAME = 0xf_ffff_ffff_f000n;
const PAT_LARGE = 1n << 12n;

/** The page around a guest-physical address by the tables at `root`. */
export function walkNestedTables(
  memory: PhysicalMemory,
  root: bigint,
  address: number,
): NestedPage | "absent" | "reserved" {
  let table = Number(root & FRAME);
  let allowed = Entry.Writable | Entry.User;
  let noExecute = 0n;
  for (let level = 4; level > 0; level--) {
    const entry = memory.read64(table + 8 * tableIndex(address, level));
    if (!(entry & Entry.Present)) return "absent";
    allowed &= entry;
    noExecute |= entry & Entry.NoExecute;
    const isPage = level === 1 || (entry & Entry.Large) !== 0n;
    if (level === 4 && isPage) return "reserved";
    if (!isPage) {
      table = Number(entry & FRAME);
      continue;
    }
    const offset = BigInt(pageBytes(level) - 1);
    if (level > 1 && entry & FRAME & offset & ~PAT_LARGE) return "reserved";
    return {
      frame: Number((entry & FRAME & ~offset) | (BigInt(address) & offset)),
      rights: rightsOf(allowed, noExecute),
    };
  }
  throw new Error("a page walk ends at level 1");
}

function rightsOf(allowed: bigint, noExecute: bigint): number {
  if (!(allowed & Entry.User)) return 0;
  return Right.Read | (allowed & Entry.Writable ? Right.Write : 0) | (noExecute ? 0 : Right.Execute);
}

/** EXITINFO1 of a nested page fault (15.25.6). */
export function faultInfo({ access, tables, present, reserved }: NestedFault): bigint {
  const kind = (access.write ? Info.Write : 0n) | (access.fetch ? Info.Fetch : 0n);
  const found = (present ? Info.Present : 0n) | (reserved ? Info.Reserved : 0n);
  return Info.User | kind | found | (tables ? Info.Tables : Info.Final);
}
