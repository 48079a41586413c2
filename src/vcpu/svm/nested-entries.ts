import { EntryFormat } from "../../memory/entry-format";
import { MemoryType } from "../../memory/memory-type";

/** Bits of an ordinary long-mode entry (AMD APM 2, 5.4). */
const enum Entry {
  Present = 1 << 0,
  Writable = 1 << 1,
  User = 1 << 2,
  Accessed = 1 << 5,
  Dirty = 1 << 6,
  PageSize = 1 << 7,
}
const TABLE: u64 = Entry.Present | Entry.Writable | Entry.User;
const MARKED: u64 = Entry.Accessed | Entry.Dirty;
const PAGE_4K: u64 = 1 << 12;

/**
 * Nested paging's entries have the format of ordinary ones, and all accesses are user accesses (AMD APM 2, 15.25.5). Memory
 * types come from the MTRRs, which apply to the addresses that nested paging yields (15.25.8): the PAT bits stay 0.
 */
export class NestedEntries extends EntryFormat {
  table(address: u64): u64 {
    return address | TABLE;
  }
  page(address: u64, size: u64, _type: MemoryType): u64 {
    return address | TABLE | MARKED | (size == PAGE_4K ? 0 : Entry.PageSize);
  }
  readOnly(address: u64): u64 {
    return address | Entry.Present | Entry.User | MARKED;
  }
}
