import { atomicAdd32, atomicLoad32, atomicStore32, pause, thisProcessor } from "../metal";

const NOBODY: u32 = 0xffff_ffff;
const MAXIMUM_LOCKS: i32 = 64;
/** Pauses, a minute of them or more, after which a lock's holder counts as lost. */
const PATIENCE: u32 = 1 << 30;

/** All locks, made at boot. */
const locks: StaticArray<TicketLock | null> = new StaticArray<TicketLock | null>(MAXIMUM_LOCKS);
let count: i32 = 0;

/**
 * A ticket lock: processors get it in the order in which they asked, so that none waits longer than the turns of those
 * before it. Not to be acquired twice by one processor. The guest does not run on a processor that holds it.
 */
export class TicketLock {
  /** The tickets given out, and the one whose turn it is. */
  private next: u32 = 0;
  private serving: u32 = 0;
  private holder: u32 = NOBODY;

  constructor() {
    locks[count++] = this;
  }

  /** Traps if its turn never comes: then a processor has stopped in the midst of its own. */
  acquire(): void {
    const ticket = atomicAdd32(this.nextTicket(), 1);
    for (let pauses: u32 = 0; atomicLoad32(this.turn()) != ticket; pauses++) {
      if (pauses == PATIENCE) unreachable();
      pause();
    }
    this.holder = thisProcessor();
  }

  release(): void {
    this.holder = NOBODY;
    atomicStore32(this.turn(), this.serving + 1);
  }

  /** Releases every lock that this processor holds: after a trap, whose function will not do it. */
  static releaseAll(): void {
    for (let i = 0; i < count; i++) {
      const lock = unchecked(locks[i]);
      if (lock !== null && lock.holder == thisProcessor()) lock.release();
    }
  }

  @inline private nextTicket(): usize {
    return changetype<usize>(this) + offsetof<TicketLock>("next");
  }
  @inline private turn(): usize {
    return changetype<usize>(this) + offsetof<TicketLock>("serving");
  }
}
