import { Buddy, PAGE_SIZE } from "./buddy";
export { PAGE_SIZE } from "./buddy";

/** Linear memory below this is for objects. */
const OBJECTS_END: usize = 1 << 20;

let buddy: Buddy | null = null;
let sealed: bool = false;

/** Pages of linear memory. Objects, which grow from its bottom, must not come into their range: seen to as they are taken. */
function range(): Buddy {
  const known = buddy;
  if (known) return known;
  const size = (memory.size() as usize) << 16;
  const base = min(OBJECTS_END, size / 2);
  const made = new Buddy(base, ((size - base) / PAGE_SIZE) as u32);
  buddy = made;
  return made;
}

/**
 * `count` zeroed pages of linear memory, physically contiguous, for control blocks and descriptor rings: at boot only, never
 * given back. Traps if there are none left, which only a build can cause.
 */
export function takePages(count: u32): usize {
  if (sealed) unreachable();
  const pages = range().takeForGood(count);
  if (!pages || heap.alloc(0) > range().base) unreachable();
  memory.fill(pages, 0, (count as usize) * PAGE_SIZE);
  return pages;
}

/** A zeroed page, or 0 if there is none; to be given back by `freePage`. At any time, on any processor. */
export function allocatePage(): usize {
  const page = range().allocate(0);
  if (page) memory.fill(page, 0, PAGE_SIZE);
  return page;
}

export function freePage(page: usize): void {
  range().free(page, 0);
}

/** Ends boot: all objects are made, and lie below the pages. From here on no object is made. */
export function sealMemory(): void {
  if (heap.alloc(0) > range().base) unreachable();
  sealed = true;
}
