import { devicePages } from "../../../memory/device-pages";
import { PAGE_SIZE } from "../../../memory/frames";
import { physOf, physWrite32 } from "../../../metal";

// A send buffer descriptor (5722 guide, section 5):
//       31                    16 15                     0
//   0x0|         address of the bytes, 63:32           |
//   0x4|         address of the bytes, 31:0            |
//   0x8|        length         |        flags          |
//   0xc|   segment size etc.   |       VLAN tag        |
const enum Word {
  AddressHigh = 0x0,
  AddressLow = 0x4,
  Flags = 0x8,
  Options = 0xc,
}
export const enum SendFlag {
  /** Complete a TCP or UDP checksum. */
  Checksum = 1 << 0,
  End = 1 << 2,
  InsertVlanTag = 1 << 6,
  /** Tell of this frame at once. */
  CoalesceNow = 1 << 7,
  /** Cut into segments. */
  Cut = 3 << 8,
}

export const RING_ENTRIES: u32 = 512;
const DESCRIPTOR_SIZE: u32 = 16;
const LENGTH_SHIFT: u32 = 16;

/** The ring of descriptors that the card sends from. */
export class SendDescriptors {
  readonly ring: u64 = physOf(devicePages.take((RING_ENTRIES * DESCRIPTOR_SIZE) / (PAGE_SIZE as u32)));
  /** The descriptor that is filled next. */
  next: u32 = 0;
  /** Length and flags of the descriptor filled last. */
  private last: u32 = 0;

  put(address: u64, length: u32, flags: u32, options: u32): void {
    const descriptor = this.ring + ((this.next * DESCRIPTOR_SIZE) as u64);
    this.last = (length << LENGTH_SHIFT) | flags;
    physWrite32(descriptor + Word.AddressHigh, (address >> 32) as u32);
    physWrite32(descriptor + Word.AddressLow, address as u32);
    physWrite32(descriptor + Word.Flags, this.last);
    physWrite32(descriptor + Word.Options, options);
    this.next = (this.next + 1) % RING_ENTRIES;
  }

  /** Sets flags of the descriptor filled last; returns its number. */
  finish(flags: u32): u32 {
    const index = (this.next - 1) % RING_ENTRIES;
    physWrite32(this.ring + ((index * DESCRIPTOR_SIZE) as u64) + Word.Flags, this.last | flags);
    return index;
  }
}
