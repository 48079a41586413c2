/* AMD-V: the loop around VMRUN, and the window in which the host takes interrupts. */
#pragma once
#include "types.h"
#include "processors.h"
#include "vmx.h"

/* Defined by the core below; with internal linkage the one that is called for each exit becomes part of the loop. */
struct w2c_core;
extern struct w2c_core core;
static u32 w2c_core_exit(struct w2c_core *, u32 run);
static u32 w2c_core_wake(struct w2c_core *, u32 run);

/* The guest's processor does nothing until an NMI; on_vector leaves the window for one that comes before HLT. */
static __attribute__((used, noinline)) void wait_for_nmi(void) {
  __asm__ volatile(".globl nmi_wait, nmi_waited\nstgi\nnmi_wait: hlt\nnmi_waited: clgi" ::: "memory");
}
extern u8 nmi_wait[], nmi_waited[];

/* GuestRun (src/vcpu/svm/run.ts): general registers by number at 0, physical addresses of the guest's VMCB at 0x90 and
 * of the host's at 0x98. VMRUN itself switches RAX, RSP, RIP, RFLAGS, CS, SS, DS, ES, GDTR, IDTR, CR0, CR2-CR4, EFER,
 * DR6 and DR7; VMLOAD and VMSAVE do FS, GS, TR, LDTR and the system-call MSRs (AMD APM 2, 15.5). The rest is here or is
 * not used by the hypervisor: it is compiled without SSE and x87. GIF is 0 outside the guest. To the compiler, the guest's
 * run changes every register: so what answers an exit saves none. */
static __attribute__((noinline, noreturn, used)) void exit_loop(u64 run, bool wait) {
  for (;; wait = w2c_core_exit(&core, run)) {
    while (__builtin_expect(wait, 0)) {
      wait_for_nmi();
      wait = w2c_core_wake(&core, run);
    }
    __asm__ volatile(
      "push %%rdi; mov 0x90(%%rdi),%%rax\n"
      "mov 0x08(%%rdi),%%rcx; mov 0x10(%%rdi),%%rdx; mov 0x18(%%rdi),%%rbx; mov 0x28(%%rdi),%%rbp; mov 0x30(%%rdi),%%rsi\n"
      "mov 0x40(%%rdi),%%r8; mov 0x48(%%rdi),%%r9; mov 0x50(%%rdi),%%r10; mov 0x58(%%rdi),%%r11\n"
      "mov 0x60(%%rdi),%%r12; mov 0x68(%%rdi),%%r13; mov 0x70(%%rdi),%%r14; mov 0x78(%%rdi),%%r15; mov 0x38(%%rdi),%%rdi\n"
      "vmload; vmrun; vmsave\n"
      "mov %%rdi,%%rax; pop %%rdi; mov %%rax,0x38(%%rdi)\n"
      "mov %%rcx,0x08(%%rdi); mov %%rdx,0x10(%%rdi); mov %%rbx,0x18(%%rdi); mov %%rbp,0x28(%%rdi); mov %%rsi,0x30(%%rdi)\n"
      "mov %%r8,0x40(%%rdi); mov %%r9,0x48(%%rdi); mov %%r10,0x50(%%rdi); mov %%r11,0x58(%%rdi)\n"
      "mov %%r12,0x60(%%rdi); mov %%r13,0x68(%%rdi); mov %%r14,0x70(%%rdi); mov %%r15,0x78(%%rdi)\n"
      "mov 0x98(%%rdi),%%rax; vmload\n"
      : "+D"(run) :
      : "rax", "rbx", "rcx", "rdx", "rsi", "rbp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
  }
}
/* Runs the guest from here on, on the stack whose top is `stack`; if `wait`, when an NMI has come. */
__attribute__((naked, noreturn, used)) static void svm_loop(u64 run, u64 stack, bool wait) {
  __asm__ volatile(
    "mov %rdx,%rsp; sub $32,%rsp; clgi\n" /* 32: home space for the call */
    "mov 0x98(%rcx),%rax; vmsave; mov %r8d,%edx; call exit_loop\n");
}

/* STI's shadow covers the NOP; whatever waits is taken between NOP and CLI, by on_vector, which clears IF in the frame
 * it returns to, so that one comes at a time. Under VT-x NMIs are taken as they come. */
static __attribute__((used, noinline)) u32 w2c_metal_openInterruptWindow(struct w2c_metal *m, u32 external) {
  struct processor *p = this_processor();
  p->window_result = 0;
  if (external)
    __asm__ volatile(".globl interrupt_window\ntest %b0,%b0; jnz 1f; stgi; 1: sti; nop\n"
      "interrupt_window: cli; test %b0,%b0; jnz 2f; clgi; 2:" :: "q"(p->vmx) : "memory", "cc");
  else if (p->vmx)
    vmx_unblock_nmis();
  else
    __asm__ volatile("stgi; nop; clgi" ::: "memory");
  if (p->nmi) { p->nmi = 0; p->window_result |= WINDOW_NMI; }
  return p->window_result;
}
