/* Intel VT-x: its instructions, and the loop around VMLAUNCH and VMRESUME. */
#pragma once
#include "types.h"
#include "processors.h"
#include "descriptors.h"

struct w2c_core;
extern struct w2c_core core;
static u32 w2c_core_vmxExit(struct w2c_core *, u32 run);
static u32 w2c_core_vmxWake(struct w2c_core *, u32 run);

#define VMX(name) static inline __attribute__((always_inline, unused)) name
VMX(bool vmwrite(u64 field, u64 value)) {
  bool ok;
  __asm__ volatile("vmwrite %2,%1" : "=@cca"(ok) : "r"(field), "r"(value) : "cc");
  return ok;
}
VMX(u64 w2c_metal_vmread(struct w2c_metal *m, u32 field)) {
  u64 value = 0;
  __asm__ volatile("vmread %1,%0" : "+r"(value) : "r"((u64)field) : "cc");
  return value;
}
VMX(u32 w2c_metal_vmwrite(struct w2c_metal *m, u32 field, u64 value)) { return vmwrite(field, value); }
static __attribute__((used, noinline)) u32 w2c_metal_vmxon(struct w2c_metal *m, u64 region) {
  u64 cr0, cr4;
  bool ok;
  __asm__ volatile("mov %%cr0,%0; mov %%cr4,%1" : "=r"(cr0), "=r"(cr4));
  __asm__ volatile("mov %0,%%cr0; mov %1,%%cr4" :: "r"(cr0 | 1 << 5), "r"(cr4 | 1 << 13)); /* NE; VMXE */
  __asm__ volatile("vmxon %1" : "=@cca"(ok) : "m"(region) : "cc");
  this_processor()->vmx = ok;
  return ok;
}
VMX(u32 w2c_metal_vmclear(struct w2c_metal *m, u64 vmcs)) {
  bool ok;
  __asm__ volatile("vmclear %1" : "=@cca"(ok) : "m"(vmcs) : "cc");
  return ok;
}
VMX(u32 w2c_metal_vmptrld(struct w2c_metal *m, u64 vmcs)) {
  bool ok;
  __asm__ volatile("vmptrld %1" : "=@cca"(ok) : "m"(vmcs) : "cc");
  return ok;
}
VMX(void w2c_metal_invept(struct w2c_metal *m, u32 type, u64 pointer)) {
  u64 descriptor[2] = {pointer, 0};
  __asm__ volatile("invept %0,%1" :: "m"(descriptor), "r"((u64)type) : "cc", "memory");
}
VMX(void w2c_metal_invvpid(struct w2c_metal *m, u32 type, u32 vpid)) {
  u64 descriptor[2] = {vpid, 0};
  __asm__ volatile("invvpid %0,%1" :: "m"(descriptor), "r"((u64)type) : "cc", "memory");
}
VMX(void w2c_metal_setCr2(struct w2c_metal *m, u64 value)) { __asm__ volatile("mov %0,%%cr2" :: "r"(value)); }

extern u8 xsetbv_at[], xsetbv_failed[];
static __attribute__((used, noinline)) u32 w2c_metal_trySetXcr0(struct w2c_metal *m, u64 value) {
  u32 ok;
  __asm__ volatile(".globl xsetbv_at, xsetbv_failed\nmov $1,%0\nxsetbv_at: xsetbv\njmp 1f\nxsetbv_failed: mov $0,%0\n1:"
    : "=&r"(ok) : "c"(0), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
  return ok;
}

/* What a VM exit loads: the host as it is now. HOST_RSP and HOST_RIP are the loop's (Intel SDM 3, appendix B). */
static void set_host_state(struct processor *p) {
  u64 cr0, cr3, cr4;
  __asm__ volatile("mov %%cr0,%0; mov %%cr3,%1; mov %%cr4,%2" : "=r"(cr0), "=r"(cr3), "=r"(cr4));
  vmwrite(0x0c00, 0); vmwrite(0x0c02, CODE_SELECTOR); vmwrite(0x0c04, DATA_SELECTOR); vmwrite(0x0c06, 0);
  vmwrite(0x0c08, 0); vmwrite(0x0c0a, 0); vmwrite(0x0c0c, TSS_SELECTOR);
  vmwrite(0x4c00, 0); vmwrite(0x6c10, 0); vmwrite(0x6c12, 0); /* SYSENTER */
  vmwrite(0x6c00, cr0); vmwrite(0x6c02, cr3); vmwrite(0x6c04, cr4);
  vmwrite(0x6c06, 0); vmwrite(0x6c08, (u64)p); vmwrite(0x6c0a, (u64)&p->tss); /* FS, GS, TR */
  vmwrite(0x6c0c, (u64)p->gdt); vmwrite(0x6c0e, (u64)idt);
}

/* NMIs come at any time while the host runs, and are noted (descriptors.h). One that comes after the last look, before the
 * guest is entered, sends the processor back to vmx_enter by on_vector. */
extern u8 vmx_enter[], vmx_entered[], vmx_wait[], vmx_halt[], vmx_waited[];
static __attribute__((used, noinline)) void vmx_wait_for_nmi(void) {
  struct processor *p = this_processor();
  __asm__ volatile(
    ".globl vmx_wait, vmx_halt, vmx_waited\nvmx_wait: cmpl $0,%0; jne vmx_waited\nvmx_halt: hlt\nvmx_waited:"
    :: "m"(p->nmi) : "memory", "cc");
  p->nmi = 0;
}

/* VmxRun (src/vcpu/vmx/run.ts): general registers by number at 0, a RunEnd at 0x90, whether the VMCS is launched at 0x98. CR2,
 * DR0 to DR3, DR6, XCR0 and the system-call MSRs stay the guest's: the hypervisor does not use them. */
static __attribute__((noinline, noreturn, used)) void vmx_exit_loop(u64 run, bool wait) {
  for (;; wait = w2c_core_vmxExit(&core, run)) {
    while (__builtin_expect(wait, 0)) {
      vmx_wait_for_nmi();
      wait = w2c_core_vmxWake(&core, run);
    }
    __asm__ volatile(
      ".globl vmx_enter, vmx_entered\n"
      "push %%rdi\n"
      "vmx_enter: mov (%%rsp),%%rdi; cmpl $0,%%gs:%c[nmi]; jne 2f; cmpq $0,0x98(%%rdi); je 3f\n"
      "6: mov 0x00(%%rdi),%%rax; mov 0x08(%%rdi),%%rcx; mov 0x10(%%rdi),%%rdx; mov 0x18(%%rdi),%%rbx; mov 0x28(%%rdi),%%rbp\n"
      "mov 0x30(%%rdi),%%rsi; mov 0x40(%%rdi),%%r8; mov 0x48(%%rdi),%%r9; mov 0x50(%%rdi),%%r10; mov 0x58(%%rdi),%%r11\n"
      "mov 0x60(%%rdi),%%r12; mov 0x68(%%rdi),%%r13; mov 0x70(%%rdi),%%r14; mov 0x78(%%rdi),%%r15; mov 0x38(%%rdi),%%rdi\n"
      "jne 1f; vmlaunch; jmp vmx_entered; 1: vmresume; jmp vmx_entered\n"
      "3: mov $0x6c14,%%eax; vmwrite %%rsp,%%rax; lea 4f(%%rip),%%rcx; mov $0x6c16,%%eax; vmwrite %%rcx,%%rax\n"
      "cmpq $0,0x98(%%rdi); jmp 6b\n" /* HOST_RSP and HOST_RIP are the same each time */
      "vmx_entered: pop %%rdi; movq $1,0x90(%%rdi); jmp 5f\n"
      "2: movl $0,%%gs:%c[nmi]; pop %%rdi; movq $2,0x90(%%rdi); jmp 5f\n"
      "4: xchg %%rdi,(%%rsp); mov %%rax,0x00(%%rdi); pop %%rax; mov %%rax,0x38(%%rdi)\n"
      "mov %%rcx,0x08(%%rdi); mov %%rdx,0x10(%%rdi); mov %%rbx,0x18(%%rdi); mov %%rbp,0x28(%%rdi); mov %%rsi,0x30(%%rdi)\n"
      "mov %%r8,0x40(%%rdi); mov %%r9,0x48(%%rdi); mov %%r10,0x50(%%rdi); mov %%r11,0x58(%%rdi)\n"
      "mov %%r12,0x60(%%rdi); mov %%r13,0x68(%%rdi); mov %%r14,0x70(%%rdi); mov %%r15,0x78(%%rdi)\n"
      "movq $1,0x98(%%rdi); movq $0,0x90(%%rdi)\n"
      "5:"
      : "+D"(run) : [nmi] "i"(__builtin_offsetof(struct processor, nmi))
      : "rax", "rbx", "rcx", "rdx", "rsi", "rbp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
  }
}
/* Runs the guest from here on, on the stack whose top is `stack`; if `wait`, when an NMI has come. */
__attribute__((naked, noreturn, used)) static void vmx_loop(u64 run, u64 stack, bool wait) {
  __asm__ volatile("mov %rdx,%rsp; sub $32,%rsp; mov %r8d,%edx; call vmx_exit_loop\n");
}

/* An NMI that ended the guest's run holds back others until an IRET (Intel SDM 3, 28.5.5). */
static void vmx_unblock_nmis(void) {
  __asm__ volatile("mov %%rsp,%%rdx; mov %%ss,%%eax; push %%rax; push %%rdx; pushfq; mov %%cs,%%eax; push %%rax\n"
    "lea 1f(%%rip),%%rax; push %%rax; iretq; 1:" ::: "rax", "rdx", "memory", "cc");
}
