/* Threads: their stacks, and the switch between one of them and a processor's own. */
#pragma once
#include "types.h"
#include "processors.h"

#define THREADS 16 /* STACKS of src/threads/scheduler.ts */
#define THREAD_AREA_PAGES 8ull
#define THREAD_STACK_PAGES 4ull /* the upper ones; those below are not present */
#define FIRST_THREAD_PAGE (MAXIMUM_PROCESSORS * AREA_PAGES)
#define THREAD_STACK_TOP(thread) (STACKS + (FIRST_THREAD_PAGE + ((thread) + 1) * THREAD_AREA_PAGES) * PAGE)

static u64 thread_rsp[THREADS]; /* of those that are suspended */
extern u8 thread_start[];

/* Leaves this stack, whose pointer goes to *from, for the one that was left at `to`, by returning there. Registers are
 * those that the Microsoft x64 convention has a callee preserve. */
void switch_stack(u64 *from, u64 to);
static __attribute__((naked, used)) void switch_code(void) {
  __asm__ volatile(
    ".globl switch_stack, thread_start\n"
    "switch_stack: push %rbx; push %rbp; push %rsi; push %rdi; push %r12; push %r13; push %r14; push %r15\n"
    "mov %rsp,(%rcx); mov %rdx,%rsp\n"
    "pop %r15; pop %r14; pop %r13; pop %r12; pop %rdi; pop %rsi; pop %rbp; pop %rbx; ret\n"
    "thread_start: sub $40,%rsp; call run_thread\n");
}

/* A stack that switch_stack returns from to thread_start: eight registers and its address, at a multiple of 16 above. */
static u64 fresh_stack(u32 thread) {
  u64 *top = (u64 *)(THREAD_STACK_TOP((u64)thread) - 16);
  top[0] = (u64)thread_start;
  for (int i = 1; i <= 8; i++) top[-i] = 0;
  return (u64)&top[-8];
}

static __attribute__((used, noinline)) void w2c_metal_resumeThread(struct w2c_metal *m, u32 thread, u32 fresh) {
  struct processor *p = this_processor();
  if (thread >= THREADS) wasm_rt_trap(WASM_RT_TRAP_OOB);
  p->thread = thread;
  switch_stack(&p->rsp, fresh ? fresh_stack(thread) : thread_rsp[thread]);
}
static __attribute__((used, noinline)) void w2c_metal_suspendThread(struct w2c_metal *m) {
  struct processor *p = this_processor();
  switch_stack(&thread_rsp[p->thread], p->rsp);
}
