import { physRead16, physRead32, physRead64, physRead8 } from "../../metal";

/** IVRS table (AMD 48882, 5.2.1): blocks with a type and a length follow the header. */
const enum Ivrs {
  Length = 4,
  Blocks = 48,
}
/** IVHD block, an IOMMU and its devices (5.2.2.1). */
const enum Ivhd {
  Type = 0,
  Flags = 1,
  Length = 2,
  Device = 4,
  Base = 8,
  Segment = 16,
  /** Of type 10h; the newer types have 16 bytes more. */
  Entries = 24,
  NewerEntries = 40,
}
const IVHD: u32 = 0x10;
const IVHD_EXTENDED: u32 = 0x11;
const IVHD_NAMES: u32 = 0x40;

/** Device entries (5.2.2.2). */
const enum EntryType {
  All = 1,
  Select = 2,
  RangeStart = 3,
  RangeEnd = 4,
  AliasSelect = 66,
  AliasRangeStart = 67,
  ExtendedSelect = 70,
  ExtendedRangeStart = 71,
  Special = 72,
  /** Of variable length, with the length of its name at byte 21. */
  Name = 240,
}
const NAME_LENGTH: u64 = 21;
const LAST_FUNCTION: u32 = 0xffff;

/** Walks the IVHD blocks of an IVRS table, and the devices of each. */
export class IvhdReader {
  private next: u64;
  private readonly end: u64;
  private entry: u64 = 0;
  private blockEnd: u64 = 0;
  private rangeStart: u32 = 0;
  private rangeSettings: u32 = 0;

  // The block that `advance` found.
  base: u64 = 0;
  flags: u32 = 0;
  segment: u32 = 0;
  /** The IOMMU's own function. */
  device: u32 = 0;

  // The range that `advanceDevices` found, and its settings.
  first: u32 = 0;
  last: u32 = 0;
  settings: u32 = 0;

  constructor(table: u64) {
    this.next = table + Ivrs.Blocks;
    this.end = table + (physRead32(table + Ivrs.Length) as u64);
  }

  /** Goes to the next IVHD block; false after the last. */
  advance(): bool {
    while (this.next + Ivhd.Entries <= this.end) {
      const block = this.next;
      const type = physRead8(block + Ivhd.Type);
      const length = physRead16(block + Ivhd.Length) as u64;
      if (length == 0) return false;
      this.next += length;
      if (type != IVHD && type != IVHD_EXTENDED && type != IVHD_NAMES) continue;
      this.flags = physRead8(block + Ivhd.Flags);
      this.device = physRead16(block + Ivhd.Device);
      this.base = physRead64(block + Ivhd.Base);
      this.segment = physRead16(block + Ivhd.Segment);
      this.entry = block + (type == IVHD ? Ivhd.Entries : Ivhd.NewerEntries);
      this.blockEnd = min(this.next, this.end);
      return true;
    }
    return false;
  }

  /** Goes to the block's next device or range of devices; false after the last. */
  advanceDevices(): bool {
    while (this.entry + 4 <= this.blockEnd) {
      const entry = this.entry;
      this.entry += entryLength(entry);
      if (this.readDevices(entry)) return true;
    }
    return false;
  }

  /** Whether an entry completes a range. */
  private readDevices(entry: u64): bool {
    const type = physRead8(entry);
    const device = physRead16(entry + 1);
    this.settings = physRead8(entry + 3);
    this.first = this.last = device;
    switch (type) {
      case EntryType.All:
        this.first = 0;
        this.last = LAST_FUNCTION;
        return true;
      case EntryType.Select:
      case EntryType.ExtendedSelect:
        return true;
      case EntryType.RangeStart:
      case EntryType.ExtendedRangeStart:
        this.rangeStart = device;
        this.rangeSettings = this.settings;
        return false;
      case EntryType.RangeEnd:
        this.first = this.rangeStart;
        this.settings = this.rangeSettings;
        return true;
      case EntryType.AliasSelect:
      case EntryType.Special:
        // Its requests carry the name of another function.
        this.first = this.last = physRead16(entry + 5);
        return true;
      case EntryType.AliasRangeStart:
        this.rangeStart = device;
        this.rangeSettings = this.settings;
        this.first = this.last = physRead16(entry + 5);
        return true;
      default:
        return false;
    }
  }
}

/** Bytes of a device entry: bits 7:6 of its type say, but for names. */
function entryLength(entry: u64): u64 {
  const type = physRead8(entry);
  if (type == EntryType.Name) return NAME_LENGTH + 1 + (physRead8(entry + NAME_LENGTH) as u64);
  return (4 as u64) << ((type >> 6) as u64);
}
