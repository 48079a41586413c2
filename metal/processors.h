/* What each processor has for itself: its tables, its stacks, and what its vectors note. GS leads to it. */
#pragma once
#include "types.h"

#define MAXIMUM_PROCESSORS 64 /* MAXIMUM_PROCESSORS of src/vcpu/limits.ts */

/* Each processor's area of stacks: pages that are not present in between, so that no stack grows into another. */
#define AREA_PAGES 16ull
enum { DOUBLE_FAULT_STACK = 2, NMI_STACK = 4, PAGE_FAULT_STACK = 6, MAIN_STACK = AREA_PAGES }; /* first page above */
#define MAIN_STACK_PAGES 9ull
#define STACK_TOP(processor, stack) (STACKS + ((processor) * AREA_PAGES + (stack)) * PAGE)

struct __attribute__((packed)) tss { u32 reserved0; u64 rsp[3], reserved1, ist[7], reserved2; u16 reserved3, iopb; };

struct processor {
  struct processor *self; /* at GS:0 */
  u64 index;
  u64 run;                /* the GuestRun block, once the guest runs */
  u64 thread, rsp;        /* the thread that runs, and where the processor's own stack was left for it */
  u64 trap_kind, trap_address;
  volatile u32 window_result;
  volatile u32 nmi;       /* under VT-x: one has come while the host ran */
  bool vmx;               /* in VMX operation */
  bool in_trap;
  u64 gdt[5];
  struct tss tss;
};
static struct processor processors[MAXIMUM_PROCESSORS];

/* Volatile: a thread may go on on another processor. */
static inline struct processor *this_processor(void) {
  struct processor *p;
  __asm__ volatile("mov %%gs:0,%0" : "=r"(p));
  return p;
}

/* Whether a page of a processor's area belongs to a stack. */
static bool is_stack_page(u64 page) {
  return page >= MAIN_STACK - MAIN_STACK_PAGES || page == DOUBLE_FAULT_STACK - 1 || page == NMI_STACK - 1 ||
    page == PAGE_FAULT_STACK - 1;
}
