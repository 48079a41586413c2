import { TicketLock } from "./lock";

/** What answers accesses of the guest's: at addresses of type A, with values of type V. */
export abstract class LockedDevice<A, V> {
  /** `lock` is held while the device answers; without one it looks after itself. */
  constructor(readonly lock: TicketLock | null = null) {}
  abstract read(address: A, width: u32): V;
  abstract write(address: A, width: u32, value: V): void;

  readLocked(address: A, width: u32): V {
    const lock = this.lock;
    if (lock) lock.acquire();
    const value = this.read(address, width);
    if (lock) lock.release();
    return value;
  }

  writeLocked(address: A, width: u32, value: V): void {
    const lock = this.lock;
    if (lock) lock.acquire();
    this.write(address, width, value);
    if (lock) lock.release();
  }
}
