import { fence, physOf } from "../metal";
import { PAGE_SIZE, takePages } from "./frames";
import { memoryTypes } from "./types";

/** Nested page-table entries have the format of ordinary long-mode ones (AMD APM 2, 15.25.5): user access is required. */
const enum Entry {
  Present = 1 << 0,
  Writable = 1 << 1,
  User = 1 << 2,
  Accessed = 1 << 5,
  Dirty = 1 << 6,
  PageSize = 1 << 7,
}
const TABLE: u64 = Entry.Present | Entry.Writable | Entry.User;
const LEAF: u64 = TABLE | Entry.Accessed | Entry.Dirty;
const READ_ONLY: u64 = Entry.Present | Entry.User | Entry.Accessed | Entry.Dirty;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

const PAGE_4K: u64 = 1 << 12;
const PAGE_2M: u64 = 1 << 21;
const PAGE_1G: u64 = 1 << 30;
/** Address bits that one table of each level resolves, lowest first. */
const LEVEL_SHIFT: u32 = 9;

/** Tables for splits and for addresses that were not mapped at boot. */
const POOL_PAGES: u32 = 128;
/** Mapped at boot; what lies above is mapped when first touched. */
const BOOT_LIMIT: u64 = 1 << 40;

/**
 * The guest's physical address space: every address is itself, in the largest pages that memory types allow, but for
 * Sheer's block, which reads as zeros, and hooked pages, which are not present.
 */
export class NestedTables {
  private root: usize = 0;
  private pool: usize = 0;
  private poolLeft: u32 = 0;
  private blockBase: u64 = 0;
  private blockEnd: u64 = 0;
  private limit: u64 = 0;
  private levels: u32 = 4;

  /**
   * Builds the tables for a machine of `physicalBits`. The block must start and end on 2 MiB borders. `levels` is the
   * host's: nested paging has as many (AMD APM 2, 15.25.3).
   */
  build(blockBase: u64, blockSize: u64, physicalBits: u32, levels: u32): void {
    this.levels = levels;
    this.limit = (1 as u64) << (physicalBits as u64);
    this.pool = takePages(POOL_PAGES);
    this.poolLeft = POOL_PAGES;
    this.root = this.takeTable();
    this.blockBase = blockBase;
    this.blockEnd = blockBase + blockSize;
    this.mapBlock();
    for (let at: u64 = 0; at < min(this.limit, BOOT_LIMIT); at += PAGE_1G) this.mapLargest(at, PAGE_1G);
  }

  /** Physical address of the top table, for the processor's nested CR3. */
  rootAddress(): u64 {
    return physOf(this.root);
  }

  /** Makes one 4 KiB page cause exits; false if no table is left to split a larger page. */
  unmap(address: u64): bool {
    return this.setPage(address, 0);
  }

  /** Gives one 4 KiB page back to the guest; false if no table is left. */
  map(address: u64): bool {
    return this.setPage(address, (address & ADDRESS) | LEAF);
  }

  /** Maps what surrounds an address that was not mapped at boot; false if it is beyond the machine or no table is left. */
  mapOnDemand(address: u64): bool {
    if (address >= this.limit) return false;
    return this.mapLargest(address & ~(PAGE_1G - 1), PAGE_1G);
  }

  /** Maps an aligned region of `size` bytes by one entry or, where it is not of one kind, by smaller ones. */
  private mapLargest(base: u64, size: u64): bool {
    const slot = this.slot(base, size);
    if (!slot) return false;
    const whole = base + size <= this.blockBase || base >= this.blockEnd;
    if (size == PAGE_4K || (whole && memoryTypes.uniform(base, size))) {
      if (!load<u64>(slot)) store<u64>(slot, base | LEAF | (size == PAGE_4K ? 0 : Entry.PageSize));
      return true;
    }
    if (size == PAGE_2M && !whole) return true; // mapBlock has been here
    const part = size >> LEVEL_SHIFT;
    for (let at = base; at < base + size; at += part) {
      if (!this.mapLargest(at, part)) return false;
    }
    return true;
  }

  /** Shows the whole block as one page of zeros that cannot be written. */
  private mapBlock(): void {
    const zeros = takePages(1);
    const table = takePages(1);
    for (let i: usize = 0; i < PAGE_SIZE; i += 8) store<u64>(table + i, physOf(zeros) | READ_ONLY);
    for (let at = this.blockBase; at < this.blockEnd; at += PAGE_2M) {
      store<u64>(this.slot(at, PAGE_2M), physOf(table) | TABLE);
    }
  }

  private setPage(address: u64, entry: u64): bool {
    const slot = this.slot(address, PAGE_4K);
    if (!slot) return false;
    store<u64>(slot, entry);
    fence();
    return true;
  }

  /** The entry for the page of `size` bytes around an address, larger pages split on the way; 0 if no table is left. */
  private slot(address: u64, size: u64): usize {
    let table = this.root;
    let shift: u64 = 12 + LEVEL_SHIFT * (this.levels - 1);
    while (true) {
      const entry = table + (((address >> shift) as usize & 511) << 3);
      if ((1 as u64) << shift == size) return entry;
      table = this.tableBelow(entry, (1 as u64) << shift);
      if (!table) return 0;
      shift -= LEVEL_SHIFT;
    }
  }

  /** The table an entry points to: made if there is none, filled with parts of the page if there is a large page. */
  private tableBelow(entry: usize, size: u64): usize {
    const value = load<u64>(entry);
    if (value && !(value & Entry.PageSize)) return (((value & ADDRESS) as usize) - physOf(0)) as usize;
    const table = this.takeTable();
    if (!table) return 0;
    if (value) this.fillParts(table, value, size >> LEVEL_SHIFT);
    store<u64>(entry, physOf(table) | TABLE);
    return table;
  }

  private fillParts(table: usize, whole: u64, part: u64): void {
    const flags = part == PAGE_4K ? whole & ~(Entry.PageSize as u64) : whole;
    for (let i: u64 = 0; i < 512; i++) store<u64>(table + ((i as usize) << 3), flags + i * part);
  }

  private takeTable(): usize {
    if (!this.poolLeft) return 0;
    this.poolLeft--;
    const table = this.pool;
    this.pool += PAGE_SIZE;
    return table;
  }
}
