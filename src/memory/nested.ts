import { fence, physOf } from "../metal";
import { EntryFormat } from "./entry-format";
import { allocatePage, freePage, PAGE_SIZE } from "./frames";
import { MemoryType } from "./memory-type";

const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const LARGE: u64 = 1 << 7;
const ENTRIES: u64 = 512;

const PAGE_4K: u64 = 1 << 12;
const PAGE_2M: u64 = 1 << 21;
/** Address bits that one table of each level resolves. */
const LEVEL_SHIFT: u64 = 9;
/** No entry of any format: what has to be mapped in parts. */
const PARTS: u64 = ~0;

/** What an aligned region of guest-physical addresses is to the guest. */
export const enum Region {
  /** Itself, all of one memory type. */
  Own,
  /** Nothing: each access is an exit. */
  Absent,
  /** Zeros that cannot be written. */
  Zeros,
  /** Not the same everywhere. A page of 4 KiB is never mixed. */
  Mixed,
}

/** What the tables are made after. */
export abstract class AddressMap {
  abstract region(base: u64, size: u64): Region;
  /** The memory type of a region that is the guest's own. */
  abstract typeOf(base: u64): MemoryType;
  /** Has all processors forget what they know of the tables; false if one may still know it. */
  abstract synchronise(): bool;
}

/**
 * The guest's physical address space as its processors walk it: every address is itself, in the largest pages that the
 * address map allows. Tables can always be dropped and made anew, for they say nothing that the map does not.
 *
 * A table that is taken out may still be walked by other processors: it is retired, and used again when all have let go.
 * Not to be changed by two processors at a time.
 */
export class NestedTables {
  private readonly retired: StaticArray<usize>;
  private retiredCount: u32 = 0;
  private taken: u32 = 0;
  private readonly root: usize;
  private readonly topShift: u64;
  /** A page of zeros, and a table whose every entry maps it. */
  private readonly zeros: u64;
  private readonly zerosTable: u64;
  /** Something that was mapped has changed: processors may still know it as it was. */
  private stale: bool = false;
  /** What is mapped below stays when tables run out, if it can. */
  private kept: u64 = 0;

  /**
   * `levels` of tables, with pages up to `largest` bytes, out of a pool of `pool` tables. `zeros` is for regions of zeros:
   * a page of linear memory, and another for a table. Traps if there is no page for the root.
   */
  constructor(
    private readonly map: AddressMap,
    private readonly format: EntryFormat,
    levels: u32,
    private readonly largest: u64,
    private readonly pool: u32,
    zeros: usize,
    zerosTable: usize,
  ) {
    this.retired = new StaticArray<usize>(pool);
    this.topShift = 12 + LEVEL_SHIFT * ((levels - 1) as u64);
    this.root = this.takeTable();
    if (!this.root) unreachable();
    this.zeros = format.readOnly(physOf(zeros));
    for (let i: usize = 0; i < PAGE_SIZE; i += 8) store<u64>(zerosTable + i, this.zeros);
    this.zerosTable = format.table(physOf(zerosTable));
  }

  /** Physical address of the top table. */
  rootAddress(): u64 {
    return physOf(this.root);
  }

  /** How many tables there still are. */
  get left(): u32 {
    return this.pool - this.taken;
  }

  /** From now on only what is mapped from `end` on goes when tables run out, as long as that helps. */
  keepBelow(end: u64): void {
    this.kept = end;
  }

  /**
   * Maps the pages from `from` to before `to` as the address map says now, for all processors. If there are not enough
   * tables, other pages go, to be mapped again when they are touched. False if that was not enough: then nothing at all is
   * mapped.
   */
  refresh(from: u64, to: u64): bool {
    return this.change(from, to, false);
  }

  /** The same for those of the pages that are mapped: the others stay as they are. */
  update(from: u64, to: u64): bool {
    return this.change(from, to, true);
  }

  private change(from: u64, to: u64, mappedOnly: bool): bool {
    let done = this.fill(this.root, 0, this.topShift, from, to, mappedOnly);
    if (!done && this.kept) {
      this.clear(this.root, 0, this.topShift, this.kept);
      this.settle();
      done = this.fill(this.root, 0, this.topShift, from, to, mappedOnly);
    }
    if (!done) this.clear(this.root, 0, this.topShift, 0);
    this.settle();
    return done;
  }

  /** Unmaps what lies from an address on, in a table as `fill` has it. */
  private clear(table: usize, base: u64, shift: u64, from: u64): void {
    const size = (1 as u64) << shift;
    for (let i: u64 = 0; i < ENTRIES; i++) {
      const at = base + (i << shift);
      const slot = table + ((i as usize) << 3);
      if (at >= from) this.replace(slot, 0, size);
      else if (from - at < size && this.isOwnTable(load<u64>(slot), size)) {
        this.clear(tableAt(load<u64>(slot)), at, shift - LEVEL_SHIFT, from);
      }
    }
  }

  /** All processors see what has changed; what they have let go of is used again. */
  private settle(): void {
    fence();
    if (this.stale && this.map.synchronise()) this.reclaim();
  }

  /** No processor walks the tables any more that have been retired. */
  private reclaim(): void {
    for (let i: u32 = 0; i < this.retiredCount; i++) this.release(unchecked(this.retired[i]));
    this.retiredCount = 0;
    this.stale = false;
  }

  /** The part of a table that lies between two addresses; `base` is its first, and its entries stand for 1 << `shift` bytes. */
  private fill(table: usize, base: u64, shift: u64, from: u64, to: u64, mappedOnly: bool): bool {
    const size = (1 as u64) << shift;
    const end = min(base + (size << LEVEL_SHIFT), to);
    for (let at = max(base, from & ~(size - 1)); at < end; at += size) {
      const slot = table + ((((at - base) >> shift) as usize) << 3);
      if (mappedOnly && !load<u64>(slot)) continue;
      if (!this.fillEntry(slot, at, shift, from, to, mappedOnly)) return false;
    }
    return true;
  }

  private fillEntry(slot: usize, at: u64, shift: u64, from: u64, to: u64, mappedOnly: bool): bool {
    const size = (1 as u64) << shift;
    const whole = this.wholeEntry(at, size);
    if (whole != PARTS) {
      this.replace(slot, whole, size);
      return true;
    }
    const old = load<u64>(slot);
    if (this.isOwnTable(old, size)) return this.fill(tableAt(old), at, shift - LEVEL_SHIFT, from, to, mappedOnly);
    const table = this.takeTable();
    if (!table) return false;
    // A page that was mapped is mapped again in all its parts. The table is linked when it is complete.
    const done = this.fill(table, at, shift - LEVEL_SHIFT, old ? at : from, old ? at + size : to, false);
    if (done) this.replace(slot, this.format.table(physOf(table)), size);
    else this.giveUp(table, size >> LEVEL_SHIFT);
    return done;
  }

  /** The one entry for a region, or PARTS. */
  private wholeEntry(base: u64, size: u64): u64 {
    switch (this.map.region(base, size)) {
      case Region.Absent:
        return 0;
      case Region.Own:
        return size > this.largest ? PARTS : this.format.page(base, size, this.map.typeOf(base));
      case Region.Zeros:
        return size == PAGE_4K ? this.zeros : size == PAGE_2M ? this.zerosTable : PARTS;
      default:
        return PARTS;
    }
  }

  private replace(slot: usize, entry: u64, size: u64): void {
    const old = load<u64>(slot);
    if (old == entry) return;
    store<u64>(slot, entry);
    if (!old) return;
    this.stale = true;
    if (this.isOwnTable(old, size)) this.retire(tableAt(old), size >> LEVEL_SHIFT);
  }

  /** Whether an entry for `size` bytes leads to a table that is nobody else's. */
  private isOwnTable(entry: u64, size: u64): bool {
    return size > PAGE_4K && entry != 0 && !(entry & LARGE) && entry != this.zerosTable;
  }

  /** Takes a table out of use, with those below it; its entries stand for `size` bytes. */
  private retire(table: usize, size: u64): void {
    for (let i: usize = 0; i < PAGE_SIZE; i += 8) {
      const entry = load<u64>(table + i);
      if (this.isOwnTable(entry, size)) this.retire(tableAt(entry), size >> LEVEL_SHIFT);
    }
    unchecked((this.retired[this.retiredCount++] = table));
  }

  /** The same for one that no processor has seen. */
  private giveUp(table: usize, size: u64): void {
    for (let i: usize = 0; i < PAGE_SIZE; i += 8) {
      const entry = load<u64>(table + i);
      if (this.isOwnTable(entry, size)) this.giveUp(tableAt(entry), size >> LEVEL_SHIFT);
    }
    this.release(table);
  }

  private takeTable(): usize {
    if (this.taken == this.pool) return 0;
    const table = allocatePage();
    if (table) this.taken++;
    return table;
  }

  private release(table: usize): void {
    freePage(table);
    this.taken--;
  }
}

/** Where in linear memory the table lies that an entry leads to. */
function tableAt(entry: u64): usize {
  return ((entry & ADDRESS) - physOf(0)) as usize;
}
