import { atomicAdd32, atomicLoad32 } from "../metal";
import { TicketLock } from "../threads/lock";
import { LockedDevice } from "../threads/locked-device";

/** What answers accesses at guest-physical addresses. Widths are 1, 2, 4 or 8 bytes. */
export interface Memory {
  read(address: u64, width: u32): u64;
  write(address: u64, width: u32, value: u64): void;
}

/** A device whose registers the guest reaches by memory accesses that Sheer answers. */
export abstract class MmioDevice extends LockedDevice<u64, u64> implements Memory {}

/** The hook that one processor last found: it forgets it before it runs the guest after any hook has changed. */
export class RecentHook {
  base: u64 = 0;
  end: u64 = 0;
  device: MmioDevice | null = null;

  @inline has(address: u64, length: u64): bool {
    return address >= this.base && address + length <= this.end;
  }
  forget(): void {
    this.base = this.end = 0;
    this.device = null;
  }
}

/** The room between two hooks, for one who asks about many addresses that lie there. */
export class HookGap {
  base: u64 = 0;
  end: u64 = 0;
  /** How often hooks had changed when it was found. */
  changes: u32 = 0;

  constructor(private readonly hooks: MmioHooks) {}

  /** Whether no hook lies in a range, which does not wrap around. */
  @inline has(base: u64, length: u64): bool {
    const known = base >= this.base && base + length <= this.end && this.changes == this.hooks.changes;
    return known || this.hooks.findGap(this, base, length);
  }
}

const MAXIMUM_HOOKS: i32 = 32;

/** The guest-physical ranges that belong to devices. Ranges are whole and never overlap; pages they touch cause exits. */
export class MmioHooks {
  private count: i32 = 0;
  /** How often hooks have come and gone. */
  private version: u32 = 0;
  private readonly lock: TicketLock = new TicketLock();
  private readonly bases: StaticArray<u64> = new StaticArray<u64>(MAXIMUM_HOOKS);
  private readonly ends: StaticArray<u64> = new StaticArray<u64>(MAXIMUM_HOOKS);
  private readonly devices: StaticArray<MmioDevice | null> = new StaticArray<MmioDevice | null>(MAXIMUM_HOOKS);

  /** False if the table is full or the range overlaps another; nothing has changed then. */
  add(base: u64, length: u64, device: MmioDevice): bool {
    this.lock.acquire();
    const free = this.count < MAXIMUM_HOOKS && !this.overlaps(base, base + length);
    if (free) {
      unchecked((this.bases[this.count] = base));
      unchecked((this.ends[this.count] = base + length));
      unchecked((this.devices[this.count] = device));
      this.count++;
      this.noteChange();
    }
    this.lock.release();
    return free;
  }

  /** Takes the range that starts at `base` away; false if there is none. */
  remove(base: u64): bool {
    this.lock.acquire();
    const index = this.indexOf(base);
    if (index >= 0) {
      const last = --this.count;
      unchecked((this.bases[index] = this.bases[last]));
      unchecked((this.ends[index] = this.ends[last]));
      unchecked((this.devices[index] = this.devices[last]));
      unchecked((this.devices[last] = null));
      this.noteChange();
    }
    this.lock.release();
    return index >= 0;
  }

  /** End of the range that starts at `base`, or 0. */
  end(base: u64): u64 {
    this.lock.acquire();
    const index = this.indexOf(base);
    const end = index < 0 ? 0 : unchecked(this.ends[index]);
    this.lock.release();
    return end;
  }

  /** The device that answers for one byte, or null where memory is plain. */
  find(address: u64): MmioDevice | null {
    return this.findWhole(address, 1);
  }

  /** The device that answers for all of `length` bytes, or null. */
  findWhole(address: u64, length: u64): MmioDevice | null {
    const end = address + length;
    let found: MmioDevice | null = null;
    this.lock.acquire();
    for (let i = 0; i < this.count && found === null; i++) {
      if (address >= unchecked(this.bases[i]) && end <= unchecked(this.ends[i])) found = unchecked(this.devices[i]);
    }
    this.lock.release();
    return found;
  }

  /** The same, which is then in `recent` too. */
  findRecent(recent: RecentHook, address: u64, length: u64): MmioDevice | null {
    const end = address + length;
    recent.forget();
    this.lock.acquire();
    for (let i = 0; i < this.count; i++) {
      if (address < unchecked(this.bases[i]) || end > unchecked(this.ends[i])) continue;
      recent.base = unchecked(this.bases[i]);
      recent.end = unchecked(this.ends[i]);
      recent.device = unchecked(this.devices[i]);
    }
    this.lock.release();
    return recent.device;
  }

  /** Whether no hook lies in a range; the room around it is then in `gap`. */
  findGap(gap: HookGap, base: u64, length: u64): bool {
    const end = base + length;
    gap.base = 0;
    gap.end = ~(0 as u64);
    this.lock.acquire();
    gap.changes = this.changes;
    for (let i = 0; i < this.count; i++) {
      if (unchecked(this.ends[i]) <= base) gap.base = max(gap.base, unchecked(this.ends[i]));
      else gap.end = min(gap.end, unchecked(this.bases[i]));
    }
    this.lock.release();
    return end <= gap.end;
  }

  get changes(): u32 {
    return atomicLoad32(this.versionAt);
  }
  private noteChange(): void {
    atomicAdd32(this.versionAt, 1);
  }
  private get versionAt(): usize {
    return changetype<usize>(this) + offsetof<MmioHooks>("version");
  }

  /** Whether any hook lies in a range. */
  touches(base: u64, length: u64): bool {
    this.lock.acquire();
    const touched = this.overlaps(base, base + length);
    this.lock.release();
    return touched;
  }

  private overlaps(base: u64, end: u64): bool {
    for (let i = 0; i < this.count; i++) {
      if (base < unchecked(this.ends[i]) && end > unchecked(this.bases[i])) return true;
    }
    return false;
  }

  private indexOf(base: u64): i32 {
    for (let i = 0; i < this.count; i++) if (unchecked(this.bases[i]) == base) return i;
    return -1;
  }
}
