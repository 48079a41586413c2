import { TicketLock } from "../threads/lock";

export const PAGE_SIZE: usize = 4096;
/** Blocks have 1, 2, 4, ... pages, up to 4 MiB. */
export const ORDERS: u32 = 11;

/**
 * What the first page of a block says of it. The other pages of a block say Inside, and so does a page whose block was cut:
 * it never comes back.
 */
const enum State {
  Inside = 0,
  Free = 0x40,
  Allocated = 0x80,
}

/** A free block's neighbours in the list of its order, kept in the block itself. */
@unmanaged
class FreeBlock {
  next: usize;
  previous: usize;
}

/**
 * A buddy allocator over a range of linear memory. A block of order n has 1 << n pages and begins at a multiple of its size,
 * counted from the range's start; two halves of a larger block are buddies, and become that block again when both are free.
 * What a block is changes under the lock only: one that was given out before it was marked could be taken for its buddy's
 * free half by another processor, and be given out twice.
 */
export class Buddy {
  protected readonly lock: TicketLock = new TicketLock();
  private readonly lists: StaticArray<usize> = new StaticArray<usize>(ORDERS);
  /** A State for each page, with the block's order in the bits below. */
  private readonly states: StaticArray<u8>;

  /** `pages` pages from `base` on, all of them free. */
  constructor(
    readonly base: usize,
    private readonly pages: u32,
  ) {
    this.states = new StaticArray<u8>(pages);
    this.addRange(0, pages);
  }

  /** The address of 1 << `order` pages, whatever is in them, or 0 if there are none. */
  allocate(order: u32): usize {
    this.lock.acquire();
    const block = this.take(order);
    this.lock.release();
    return block;
  }

  /** Gives back what `allocate` gave. Traps if it did not. */
  free(block: usize, order: u32): void {
    this.lock.acquire();
    const known = this.stateOf(block) == (State.Allocated | order);
    if (known) this.putBack(block, order);
    this.lock.release();
    if (!known) unreachable();
  }

  /**
   * The address of `count` pages that never come back, or 0 if there are none. While nobody else allocates or frees: it takes
   * no lock, which is not to be had before boot.
   */
  takeForGood(count: u32): usize {
    const order: u32 = count > 1 ? 32 - clz(count - 1) : 0;
    const block = this.take(order);
    if (!block) return 0;
    const first = this.pageOf(block);
    this.setState(block, State.Inside);
    this.addRange(first + count, first + (1 << order));
    return block;
  }

  /** How many free blocks of an order there are. */
  freeBlocks(order: u32): u32 {
    let count: u32 = 0;
    this.lock.acquire();
    for (let at = unchecked(this.lists[order]); at; at = changetype<FreeBlock>(at).next) count++;
    this.lock.release();
    return count;
  }

  /** Takes a block off its list, or the first part of a larger one. */
  protected take(order: u32): usize {
    let from = order;
    while (from < ORDERS && !unchecked(this.lists[from])) from++;
    if (from >= ORDERS) return 0;
    const block = unchecked(this.lists[from]);
    this.unlink(block, from);
    while (from > order) {
      from--;
      this.link(block + (PAGE_SIZE << from), from);
    }
    this.setState(block, State.Allocated | order);
    return block;
  }

  /** Makes a block free, together with as many buddies as are. */
  protected putBack(block: usize, order: u32): void {
    this.setState(block, State.Inside);
    while (order + 1 < ORDERS) {
      const buddy = this.base + ((block - this.base) ^ (PAGE_SIZE << order));
      if (this.pageOf(buddy) >= this.pages || this.stateOf(buddy) != (State.Free | order)) break;
      this.unlink(buddy, order);
      block = min(block, buddy);
      order++;
    }
    this.link(block, order);
  }

  /** Frees the pages from `first` to before `end` in the largest blocks that they make up. */
  private addRange(first: u32, end: u32): void {
    while (first < end) {
      let order: u32 = first ? min<u32>(ctz(first), ORDERS - 1) : ORDERS - 1;
      while (first + ((1 as u32) << order) > end) order--;
      this.link(this.base + (first as usize) * PAGE_SIZE, order);
      first += (1 as u32) << order;
    }
  }

  private link(block: usize, order: u32): void {
    const next = unchecked(this.lists[order]);
    const free = changetype<FreeBlock>(block);
    free.next = next;
    free.previous = 0;
    if (next) changetype<FreeBlock>(next).previous = block;
    unchecked((this.lists[order] = block));
    this.setState(block, State.Free | order);
  }

  private unlink(block: usize, order: u32): void {
    const free = changetype<FreeBlock>(block);
    if (free.next) changetype<FreeBlock>(free.next).previous = free.previous;
    if (free.previous) changetype<FreeBlock>(free.previous).next = free.next;
    else unchecked((this.lists[order] = free.next));
    this.setState(block, State.Inside);
  }

  private pageOf(block: usize): u32 {
    return ((block - this.base) / PAGE_SIZE) as u32;
  }
  private stateOf(block: usize): u32 {
    return unchecked(this.states[this.pageOf(block)]);
  }
  protected setState(block: usize, state: u32): void {
    unchecked((this.states[this.pageOf(block)] = state as u8));
  }
}
