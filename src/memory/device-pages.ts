import { physOf } from "../metal";
import { PAGE_SIZE, takePages } from "./frames";

const MAXIMUM_RANGES: u32 = 32;
const MAXIMUM_FUNCTIONS: u32 = 32;

/**
 * The parts of Sheer's block that the devices it drives reach by DMA, and which PCI functions these are. Where there is an
 * IOMMU, the rest of the block is fenced off even from them.
 */
class DevicePages {
  private ranges: u32 = 0;
  private readonly bases: StaticArray<u64> = new StaticArray<u64>(MAXIMUM_RANGES);
  private readonly ends: StaticArray<u64> = new StaticArray<u64>(MAXIMUM_RANGES);
  /** The functions' addresses, of segment 0. */
  functions: u32 = 0;
  private readonly addresses: StaticArray<u32> = new StaticArray<u32>(MAXIMUM_FUNCTIONS);

  /** Pages as `takePages` gives them, for rings and buffers of a device. Traps if there are none left. */
  take(count: u32): usize {
    if (this.ranges == MAXIMUM_RANGES) unreachable();
    const pages = takePages(count);
    unchecked((this.bases[this.ranges] = physOf(pages)));
    unchecked((this.ends[this.ranges] = physOf(pages) + (count as u64) * (PAGE_SIZE as u64)));
    this.ranges++;
    return pages;
  }

  /** Notes a function that Sheer drives. Traps if there are more than anyone mediates. */
  addFunction(address: u32): void {
    if (this.functions == MAXIMUM_FUNCTIONS) unreachable();
    unchecked((this.addresses[this.functions++] = address));
  }

  functionAt(index: u32): u32 {
    return unchecked(this.addresses[index]);
  }

  /** Whether any of these pages lies in a range. */
  touch(base: u64, size: u64): bool {
    for (let i: u32 = 0; i < this.ranges; i++)
      if (base < unchecked(this.ends[i]) && base + size > unchecked(this.bases[i])) return true;
    return false;
  }
}

export const devicePages = new DevicePages();
