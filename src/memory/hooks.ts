/** A device whose registers the guest reaches by memory accesses that Sheer answers. Widths are 1, 2, 4 or 8 bytes. */
export abstract class MmioDevice {
  abstract read(address: u64, width: u32): u64;
  abstract write(address: u64, width: u32, value: u64): void;
}

const MAXIMUM_HOOKS: i32 = 32;

/** The guest-physical ranges that belong to devices. Ranges are whole and never overlap; pages they touch cause exits. */
export class MmioHooks {
  private count: i32 = 0;
  private readonly bases: StaticArray<u64> = new StaticArray<u64>(MAXIMUM_HOOKS);
  private readonly ends: StaticArray<u64> = new StaticArray<u64>(MAXIMUM_HOOKS);
  private readonly devices: StaticArray<MmioDevice | null> = new StaticArray<MmioDevice | null>(MAXIMUM_HOOKS);

  /** False if the table is full or the range overlaps another; nothing has changed then. */
  add(base: u64, length: u64, device: MmioDevice): bool {
    if (this.count == MAXIMUM_HOOKS || this.touches(base, length)) return false;
    const index = this.count++;
    unchecked((this.bases[index] = base));
    unchecked((this.ends[index] = base + length));
    unchecked((this.devices[index] = device));
    return true;
  }

  /** Takes the range that starts at `base` away; false if there is none. */
  remove(base: u64): bool {
    for (let i = 0; i < this.count; i++) {
      if (unchecked(this.bases[i]) != base) continue;
      const last = --this.count;
      unchecked((this.bases[i] = this.bases[last]));
      unchecked((this.ends[i] = this.ends[last]));
      unchecked((this.devices[i] = this.devices[last]));
      unchecked((this.devices[last] = null));
      return true;
    }
    return false;
  }

  /** End of the range that starts at `base`, or 0. */
  end(base: u64): u64 {
    for (let i = 0; i < this.count; i++) {
      if (unchecked(this.bases[i]) == base) return unchecked(this.ends[i]);
    }
    return 0;
  }

  /** The device that answers for one byte, or null where memory is plain. */
  find(address: u64): MmioDevice | null {
    for (let i = 0; i < this.count; i++) {
      if (address >= unchecked(this.bases[i]) && address < unchecked(this.ends[i])) return unchecked(this.devices[i]);
    }
    return null;
  }

  /** The device that answers for all of `length` bytes, or null. */
  findWhole(address: u64, length: u64): MmioDevice | null {
    const end = address + length;
    for (let i = 0; i < this.count; i++) {
      if (address >= unchecked(this.bases[i]) && end <= unchecked(this.ends[i])) return unchecked(this.devices[i]);
    }
    return null;
  }

  /** Whether any hook lies in a range. */
  touches(base: u64, length: u64): bool {
    const end = base + length;
    for (let i = 0; i < this.count; i++) {
      if (base < unchecked(this.ends[i]) && end > unchecked(this.bases[i])) return true;
    }
    return false;
  }
}
