// The core's half of the buddy allocator's tests: one that is right, and one that marks a block only after it has let go of
// the lock, as a hypervisor in use for years did.
import { Buddy, PAGE_SIZE } from "../../../src/memory/buddy";
import { Note, note, step } from "./host";

/** What a block says as long as it is free, and once it is given out. */
const FREE: u32 = 0x40;
const ALLOCATED: u32 = 0x80;

class LateMarkingBuddy extends Buddy {
  allocate(order: u32): usize {
    this.lock.acquire();
    const block = this.take(order);
    if (block) this.setState(block, FREE | order);
    this.lock.release();
    step();
    if (block) this.setState(block, ALLOCATED | order);
    return block;
  }
}

let buddy: Buddy | null = null;
const pages: u32 = 4;

/** `late`: the one that is wrong. */
export function makeBuddy(late: u32): void {
  const base = (heap.alloc(((pages as usize) + 1) * PAGE_SIZE) + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
  buddy = late ? new LateMarkingBuddy(base, pages) : new Buddy(base, pages);
}

/**
 * Takes two blocks, gives back the first, and then the second, so many times. Notes each page of what it takes and gives
 * back; fails never.
 */
export function useBuddy(order: u32, rounds: u32): void {
  for (let round: u32 = 0; round < rounds; round++) {
    const first = allocateNoted(order);
    const second = allocateNoted(order);
    freeNoted(first, order);
    freeNoted(second, order);
  }
}

function allocateNoted(order: u32): usize {
  const block = changetype<Buddy>(changetype<usize>(buddy)).allocate(order);
  if (block) notePages(Note.Enter, block, order);
  return block;
}

function freeNoted(block: usize, order: u32): void {
  if (!block) return;
  notePages(Note.Leave, block, order);
  changetype<Buddy>(changetype<usize>(buddy)).free(block, order);
}

function notePages(what: Note, block: usize, order: u32): void {
  for (let i: usize = 0; i < (1 as usize) << order; i++) note(what, (block / PAGE_SIZE + i) as u32);
}

/** How many free blocks there are of each order up to 2, as decimal digits from the largest on. */
export function freeBlocks(): u32 {
  const all = changetype<Buddy>(changetype<usize>(buddy));
  return all.freeBlocks(2) * 100 + all.freeBlocks(1) * 10 + all.freeBlocks(0);
}
