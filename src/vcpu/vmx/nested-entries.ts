import { EntryFormat } from "../../memory/entry-format";
import { MemoryType } from "../../memory/memory-type";

/** Bits of an extended-page-table entry (Intel SDM 3, tables 29-1 to 29-6). */
const enum Entry {
  Read = 1 << 0,
  Write = 1 << 1,
  Execute = 1 << 2,
  LargePage = 1 << 7,
}
const RIGHTS: u64 = Entry.Read | Entry.Write | Entry.Execute;
const TYPE_SHIFT: u64 = 3;
const PAGE_4K: u64 = 1 << 12;

/**
 * Extended page tables: the memory type of a guest's access is the entry's combined with its own PAT, and the MTRRs are not
 * looked at (Intel SDM 3, 29.3.7): so each entry has the type that they give.
 */
export class ExtendedEntries extends EntryFormat {
  table(address: u64): u64 {
    return address | RIGHTS;
  }
  page(address: u64, size: u64, type: MemoryType): u64 {
    return address | RIGHTS | ((type as u64) << TYPE_SHIFT) | (size == PAGE_4K ? 0 : Entry.LargePage);
  }
  readOnly(address: u64): u64 {
    return address | Entry.Read | Entry.Execute | ((MemoryType.WriteBack as u64) << TYPE_SHIFT);
  }
}
