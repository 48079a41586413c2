import { endOfArena } from "../runtime/arena";

export const PAGE_SIZE: usize = 4096;

let lowest: usize = 0;

/** End of what the object arena may use: the pages taken so far lie above. */
export function topOfArena(): usize {
  return lowest ? lowest : (memory.size() as usize) << 16;
}

/**
 * `count` zeroed pages of linear memory, physically contiguous, for page tables and descriptor rings; from the top of
 * linear memory downwards, at boot only, never given back. Traps if the block is too small, which only a build can cause.
 */
export function takePages(count: u32): usize {
  const pages = topOfArena() - (count as usize) * PAGE_SIZE;
  if (pages < endOfArena()) unreachable();
  lowest = pages;
  memory.fill(pages, 0, (count as usize) * PAGE_SIZE);
  return pages;
}
