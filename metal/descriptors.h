/* GDT, TSS, IDT and what happens on a vector while the hypervisor itself runs. */
#pragma once
#include "types.h"
#include "firmware.h"
#include "processors.h"

static u64 idt[256][2];

struct interrupt_frame {
  u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
  u64 vector, error, rip, cs, rflags, rsp, ss;
};
__attribute__((used)) void on_vector(struct interrupt_frame *f);

/* 256 stubs of 32 bytes: push the vector (and a zero where the processor pushes no error code), save, call. In the
 * interrupt window a vector is an interrupt, without error code, whatever its number: a guest may send any. */
extern u8 vector_stubs[];
extern u8 interrupt_window[];
static __attribute__((naked, used)) void vector_code(void) {
  __asm__ volatile(
    ".globl vector_stubs\n.balign 32\nvector_stubs:\n"
    ".set v, 0\n.rept 256\n"
    ".if v == 8 || (v >= 10 && v <= 14) || v == 17 || v == 21 || v == 29 || v == 30\n"
    "  push %rax; lea interrupt_window(%rip),%rax; cmp %rax,8(%rsp); pop %rax; jne 2f\n.endif\n"
    "  pushq $0\n"
    "2: pushq $v\n  jmp 1f\n  .balign 32\n.set v, v + 1\n.endr\n"
    "1: push %rax; push %rcx; push %rdx; push %rbx; push %rbp; push %rsi; push %rdi; push %r8; push %r9; push %r10\n"
    "push %r11; push %r12; push %r13; push %r14; push %r15; cld\n"
    "mov %rsp,%rcx; mov %rsp,%rbx; and $-16,%rsp; sub $32,%rsp; call on_vector; mov %rbx,%rsp\n"
    "pop %r15; pop %r14; pop %r13; pop %r12; pop %r11; pop %r10; pop %r9; pop %r8; pop %rdi; pop %rsi; pop %rbp; pop %rbx\n"
    "pop %rdx; pop %rcx; pop %rax; add $16,%rsp; iretq\n");
}

/* The bits that openInterruptWindow returns: see src/interrupt/window.ts. */
#define WINDOW_EXTERNAL 0x100u
#define WINDOW_NMI 0x200u

static void set_gate(u32 vector, u64 handler, u64 ist) {
  idt[vector][0] = (handler & 0xffff) | (u64)CODE_SELECTOR << 16 | ist << 32 | 0x8e00ull << 32 | (handler >> 16 & 0xffff) << 48;
  idt[vector][1] = handler >> 32;
}

/* The tables of one processor, and where GS leads on it. */
static void set_processor(u64 index) {
  struct processor *p = &processors[index];
  u64 base = (u64)&p->tss;
  p->self = p;
  p->index = index;
  p->gdt[1] = 0x00af9b000000ffffull;
  p->gdt[2] = 0x00cf93000000ffffull;
  p->gdt[3] = (sizeof p->tss - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
  p->gdt[4] = base >> 32;
  p->tss.iopb = sizeof p->tss;
  p->tss.ist[0] = STACK_TOP(index, DOUBLE_FAULT_STACK);
  p->tss.ist[1] = STACK_TOP(index, NMI_STACK);
  p->tss.ist[2] = STACK_TOP(index, PAGE_FAULT_STACK);
}

/* The interrupt table, and the boot processor's other tables. */
static void set_descriptors(void) {
  set_processor(0);
  for (u32 v = 0; v < 256; v++) set_gate(v, (u64)vector_stubs + v * 32, 0);
  gate.our_gdt = (struct table){sizeof processors[0].gdt - 1, (u64)processors[0].gdt};
  gate.our_idt = (struct table){sizeof idt - 1, (u64)idt};
  gate.our_gs_base = (u64)&processors[0];
}

/* Gives #DF, NMI and #PF stacks of their own. The gates are all processors': they change when the boot processor, which
 * can load its task register only now that it calls the firmware no more, is the last to run the guest. */
static void use_own_stacks(struct processor *p) {
  __asm__ volatile("ltr %w0" :: "r"(TSS_SELECTOR));
  if (p->index) return;
  set_gate(8, (u64)vector_stubs + 8 * 32, 1);
  set_gate(2, (u64)vector_stubs + 2 * 32, 2);
  set_gate(14, (u64)vector_stubs + 14 * 32, 3);
}
