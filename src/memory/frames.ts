export const PAGE_SIZE: usize = 4096;

let lowest: usize = 0;
let sealed: bool = false;

/** The lowest page taken so far, or the end of linear memory. */
function lowestPage(): usize {
  return lowest ? lowest : (memory.size() as usize) << 16;
}

/**
 * `count` zeroed pages of linear memory, physically contiguous, for page tables and descriptor rings; from the top of
 * linear memory downwards, at boot only, never given back. Objects grow from below. Traps if the two meet, which only a
 * build can cause.
 */
export function takePages(count: u32): usize {
  if (sealed) unreachable();
  lowest = lowestPage() - (count as usize) * PAGE_SIZE;
  if (lowest < heap.alloc(0)) unreachable();
  memory.fill(lowest, 0, (count as usize) * PAGE_SIZE);
  return lowest;
}

/** Ends boot: all objects are made, and lie below the pages. From here on nothing allocates. */
export function sealMemory(): void {
  if (heap.alloc(0) > lowestPage()) unreachable();
  sealed = true;
}
