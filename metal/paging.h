/* Sheer's own page tables, built in the block before anything runs from it. Under 5-level paging both halves hang
 * below one more table. */
#pragma once
#include "types.h"

struct builder { u64 next, end; }; /* pages of the block not yet given out */

static u64 take_page(struct builder *b) {
  if (b->next == b->end) return 0; /* sizes are fixed: main.c checks the total once */
  u64 page = b->next;
  b->next += PAGE;
  __builtin_memset((void *)page, 0, PAGE);
  return page;
}

/* The table that entry `index` of `table` points to, made if need be. */
static u64 *below(struct builder *b, u64 *table, u64 index) {
  if (!(table[index] & PRESENT)) table[index] = take_page(b) | PRESENT | WRITE;
  return (u64 *)(table[index] & 0x000ffffffffff000ull);
}

static void map_page(struct builder *b, u64 *pml4, u64 virtual, u64 physical, u64 flags) {
  u64 *pt = below(b, below(b, below(b, pml4, virtual >> 39 & 511), virtual >> 30 & 511), virtual >> 21 & 511);
  pt[virtual >> 12 & 511] = physical | flags;
}

/* All of physical memory at PHYSICAL, in 1 GiB pages; without those, the first 64 GiB in 2 MiB pages. The memory type is
 * left to the MTRRs. */
static void map_physical(struct builder *b, u64 *pml4, bool pages_1g, u32 bits) {
  u64 limit = pages_1g ? 1ull << (bits < 46 ? bits : 46) : 64ull << 30;
  for (u64 p = 0; p < limit; p += 1ull << 30) {
    u64 *pdpt = below(b, pml4, (PHYSICAL + p) >> 39 & 511), i = p >> 30 & 511;
    if (pages_1g) { pdpt[i] = p | PRESENT | WRITE | LARGE | NO_EXECUTE; continue; }
    u64 *pd = below(b, pdpt, i);
    for (u64 j = 0; j < 512; j++) pd[j] = (p + (j << 21)) | PRESENT | WRITE | LARGE | NO_EXECUTE;
  }
}
