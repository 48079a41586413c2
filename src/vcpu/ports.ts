import { TicketLock } from "../threads/lock";
import { LockedDevice } from "../threads/locked-device";

/** A device whose registers the guest reaches by IN and OUT. Widths are 1, 2 or 4 bytes; values are zero-extended. */
export abstract class PortDevice extends LockedDevice<u32, u32> {}

const MAXIMUM_HOOKS: i32 = 16;

/** Told which ports must cause exits; the vendor's side keeps the processor's bitmap. */
export abstract class PortIntercepts {
  abstract intercept(port: u32, on: bool): void;
}

/** The I/O ports that belong to devices. Ranges never overlap. */
export class PortHooks {
  private count: i32 = 0;
  private readonly lock: TicketLock = new TicketLock();
  private intercepts: PortIntercepts | null = null;
  private readonly firsts: StaticArray<u32> = new StaticArray<u32>(MAXIMUM_HOOKS);
  private readonly ends: StaticArray<u32> = new StaticArray<u32>(MAXIMUM_HOOKS);
  private readonly devices: StaticArray<PortDevice | null> = new StaticArray<PortDevice | null>(MAXIMUM_HOOKS);

  begin(intercepts: PortIntercepts): void {
    this.intercepts = intercepts;
  }

  /** False if the table is full or the range overlaps another or leaves the 64 KiB of ports; nothing has changed then. */
  add(first: u32, length: u32, device: PortDevice): bool {
    const end = first + length;
    this.lock.acquire();
    const free = this.count < MAXIMUM_HOOKS && end <= 0x1_0000 && !this.overlaps(first, end);
    if (free) {
      unchecked((this.firsts[this.count] = first));
      unchecked((this.ends[this.count] = end));
      unchecked((this.devices[this.count] = device));
      this.count++;
      this.interceptRange(first, end, true);
    }
    this.lock.release();
    return free;
  }

  /** Takes the range that starts at `first` away; false if there is none. */
  remove(first: u32): bool {
    this.lock.acquire();
    const index = this.indexOf(first);
    if (index >= 0) {
      this.interceptRange(first, unchecked(this.ends[index]), false);
      const last = --this.count;
      unchecked((this.firsts[index] = this.firsts[last]));
      unchecked((this.ends[index] = this.ends[last]));
      unchecked((this.devices[index] = this.devices[last]));
      unchecked((this.devices[last] = null));
    }
    this.lock.release();
    return index >= 0;
  }

  /** The device that answers for all ports of an access, or null. */
  findWhole(port: u32, width: u32): PortDevice | null {
    const end = port + width;
    let found: PortDevice | null = null;
    this.lock.acquire();
    for (let i = 0; i < this.count && found === null; i++) {
      if (port >= unchecked(this.firsts[i]) && end <= unchecked(this.ends[i])) found = unchecked(this.devices[i]);
    }
    this.lock.release();
    return found;
  }

  /** The device that answers for a port, or null where the port is the machine's. */
  find(port: u32): PortDevice | null {
    return this.findWhole(port, 1);
  }

  /** Whether any hook lies among the ports of an access. */
  touches(port: u32, width: u32): bool {
    this.lock.acquire();
    const touched = this.overlaps(port, port + width);
    this.lock.release();
    return touched;
  }

  private overlaps(first: u32, end: u32): bool {
    for (let i = 0; i < this.count; i++) {
      if (first < unchecked(this.ends[i]) && end > unchecked(this.firsts[i])) return true;
    }
    return false;
  }

  private indexOf(first: u32): i32 {
    for (let i = 0; i < this.count; i++) if (unchecked(this.firsts[i]) == first) return i;
    return -1;
  }

  private interceptRange(first: u32, end: u32, on: bool): void {
    const intercepts = this.intercepts;
    if (!intercepts) return;
    for (let port = first; port < end; port++) intercepts.intercept(port, on);
  }
}
