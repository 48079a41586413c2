import { Buddy, PAGE_SIZE } from "./buddy";
export { PAGE_SIZE } from "./buddy";

/** Linear memory below this is for objects, which grow from its bottom; the rest is given out in pages. */
const OBJECTS_END: usize = min((1 as usize) << 20, ((memory.size() as usize) << 16) / 2);

const pages = new Buddy(OBJECTS_END, ((((memory.size() as usize) << 16) - OBJECTS_END) / PAGE_SIZE) as u32);
let sealed: bool = false;

/**
 * `count` zeroed pages of linear memory, physically contiguous, for control blocks and descriptor rings: at boot only, never
 * given back. Traps if there are none left, or if objects have come into them, which only a build can cause.
 */
export function takePages(count: u32): usize {
  if (sealed) unreachable();
  const taken = pages.takeForGood(count);
  if (!taken || heap.alloc(0) > OBJECTS_END) unreachable();
  memory.fill(taken, 0, (count as usize) * PAGE_SIZE);
  return taken;
}

/** A zeroed page, or 0 if there is none; to be given back by `freePage`. At any time, on any processor. */
export function allocatePage(): usize {
  const page = pages.allocate(0);
  if (page) memory.fill(page, 0, PAGE_SIZE);
  return page;
}

export function freePage(page: usize): void {
  pages.free(page, 0);
}

/** Ends boot: all objects are made, and lie below the pages. From here on no object is made. */
export function sealMemory(): void {
  if (heap.alloc(0) > OBJECTS_END) unreachable();
  sealed = true;
}
