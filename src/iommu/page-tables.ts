import { BOOT_INFO, BootInfo } from "../boot/info";
import { devicePages } from "../memory/device-pages";
import { takePages } from "../memory/frames";
import { physOf } from "../metal";

/** Entries of the tables that an IOMMU walks; level 1 maps pages of 4 KiB, each level above 512 times as much. */
export abstract class EntryFormat {
  /** Points at a table of `level`. */
  abstract table(address: u64, level: u32): u64;
  /** Maps the page at `address`, to be read and written, from a table of `level`. */
  abstract page(address: u64, level: u32): u64;
}

/** Numbers by which IOMMUs keep the translations of devices with different tables apart; 0 may be reserved. */
export namespace Domain {
  /** The guest's devices. */
  export const GUEST: u64 = 1;
  /** Those that Sheer drives. */
  export const SHEER: u64 = 2;
}

/** Pages of 1 GiB are the largest that all makers have. */
const LARGEST_PAGE_LEVEL: u32 = 3;
const ENTRIES: u64 = 512;

/** Bytes that an entry of a table of `level` covers. */
function covered(level: u32): u64 {
  return (1 as u64) << ((3 + 9 * level) as u64);
}

/** What devices reach of memory: every address is itself, but Sheer's block is not there. Built at boot. */
export class DmaTables {
  /** Physical address of the top table. */
  readonly root: u64;

  /**
   * Tables of `levels` for the addresses below `end`. With `ownPages`, the pages of the block that are for devices
   * are there: for the devices that Sheer drives.
   */
  constructor(
    private readonly format: EntryFormat,
    levels: u32,
    private readonly end: u64,
    private readonly ownPages: bool,
  ) {
    this.root = 0;
    this.root = this.build(levels, 0);
  }

  private build(level: u32, base: u64): u64 {
    const table = takePages(1);
    const size = covered(level);
    for (let i: u64 = 0; i < ENTRIES && base + i * size < this.end; i++)
      store<u64>(table + ((i as usize) << 3), this.entry(level, base + i * size, size));
    return physOf(table);
  }

  private entry(level: u32, base: u64, size: u64): u64 {
    const info = changetype<BootInfo>(BOOT_INFO);
    const blockEnd = info.blockBase + info.blockSize;
    const outside = base + size <= info.blockBase || base >= blockEnd;
    const inside = base >= info.blockBase && base + size <= blockEnd;
    const reached = outside || (this.ownPages && devicePages.touch(base, size));
    if (inside && !reached) return 0;
    const page = outside ? level <= LARGEST_PAGE_LEVEL : level == 1;
    return page ? this.format.page(base, level) : this.format.table(this.build(level - 1, base), level - 1);
  }
}
