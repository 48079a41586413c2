/* Leaving for the firmware and coming back. The code between gate_begin and gate_end is reached at two addresses:
 * in the image's own place and, mapped alike under the firmware's page tables and (until the guest runs) under ours,
 * at its physical address; what it reads relative to RIP is the same memory from both. */
#pragma once
#include "types.h"

struct __attribute__((packed)) table { u16 limit; u64 base; };
struct gate {
  u64 to_physical;    /* added to an address in the image gives its physical address */
  u64 firmware_cr3, our_cr3, firmware_rsp, our_rsp, firmware_rflags;
  struct table firmware_gdt, firmware_idt, our_gdt, our_idt;
  u64 our_gs_base;    /* where GS leads on the boot processor */
  u16 firmware_cs, firmware_ss, firmware_ds, firmware_es, firmware_fs, firmware_gs;
} gate;
extern u8 gate_begin[], gate_end[];

#define FIELD(name) "gate+%c[" #name "](%%rip)"
#define FIELD_OPERAND(name) [name] "i"(__builtin_offsetof(struct gate, name))
#define CODE_SELECTOR 8
#define DATA_SELECTOR 16
#define TSS_SELECTOR 24

/* All of the gate is one piece of assembler, so that it lies together:
 *   cross(cr3, target, stack)     from the firmware's context: remembers its stack, goes to `target` in ours
 *   depart(status)                back to where cross was called, which then returns `status`
 *   call_firmware(target, args)   calls a firmware function whose stack arguments already lie above firmware_rsp
 * Microsoft x64 convention throughout: rbx rbp rsi rdi r12-r15 are preserved. */
u64 cross(u64 cr3, u64 target, u64 stack);
__attribute__((noreturn)) void depart(u64 status);
u64 call_firmware(u64 target, u64 *args);
static __attribute__((naked, used)) void gate_code(void) {
  __asm__ volatile(
    ".globl gate_begin, gate_end, cross, depart, call_firmware\n"
    ".balign 64\ngate_begin:\n"
    "cross: push %%rbx; push %%rbp; push %%rsi; push %%rdi; push %%r12; push %%r13; push %%r14; push %%r15\n"
    "mov %%rsp," FIELD(firmware_rsp) "\n"
    "cli; mov %%rcx,%%cr3; mov %%r8,%%rsp; jmp *%%rdx\n"

    "depart: mov %%rcx,%%rsi; call to_firmware\n"
    "mov " FIELD(firmware_rsp) ",%%rsp\n"
    "pushq " FIELD(firmware_rflags) "; popfq; mov %%rsi,%%rax\n"
    "pop %%r15; pop %%r14; pop %%r13; pop %%r12; pop %%rdi; pop %%rsi; pop %%rbp; pop %%rbx; ret\n"

    "call_firmware: push %%rbx; push %%rbp; push %%rsi; push %%rdi; push %%r12; push %%r13; push %%r14; push %%r15\n"
    "mov %%rsp," FIELD(our_rsp) "\n"
    "mov %%rcx,%%rbx; mov (%%rdx),%%rsi; mov 8(%%rdx),%%rdi; mov 16(%%rdx),%%r8; mov 24(%%rdx),%%r9\n"
    "call to_firmware\n"
    "mov %%rsi,%%rcx; mov %%rdi,%%rdx\n"
    "pushq " FIELD(firmware_rflags) "; popfq\n"
    "call *%%rbx\n" /* rsp is firmware_rsp - 256, a multiple of 16 */
    "cli; mov %%rax,%%rbx\n"
    "mov " FIELD(to_physical) ",%%rax; mov " FIELD(our_cr3) ",%%rcx; lea 1f(%%rip),%%rdx; sub %%rax,%%rdx\n"
    "mov %%rcx,%%cr3; jmp *%%rdx\n"
    "1: mov " FIELD(our_rsp) ",%%rsp; call load_tables; mov %%rbx,%%rax\n"
    "pop %%r15; pop %%r14; pop %%r13; pop %%r12; pop %%rdi; pop %%rsi; pop %%rbp; pop %%rbx; ret\n"

    /* Returns on the firmware's stack at the physical twin of the caller. Spoils rax, rcx, rdx, r10. */
    "to_firmware: pop %%rdx; lea 2f(%%rip),%%rax; mov " FIELD(firmware_cr3) ",%%r10; mov " FIELD(to_physical) ",%%rcx; add %%rcx,%%rax; add %%rcx,%%rdx; jmp *%%rax\n"
    "2: mov %%r10,%%cr3\n" /* only now is the data there */
    "mov " FIELD(firmware_rsp) ",%%rsp; sub $256,%%rsp; and $-16,%%rsp\n"
    "lgdt " FIELD(firmware_gdt) "; lidt " FIELD(firmware_idt) "\n"
    "movzwl " FIELD(firmware_cs) ",%%eax; push %%rax; lea 3f(%%rip),%%rax; push %%rax; lretq\n"
    "3: mov " FIELD(firmware_ss) ",%%ss; mov " FIELD(firmware_ds) ",%%ds; mov " FIELD(firmware_es) ",%%es\n"
    "mov " FIELD(firmware_fs) ",%%fs; mov " FIELD(firmware_gs) ",%%gs\n"
    "jmp *%%rdx\n"

    /* Our GDT, IDT and segments on the boot processor; spoils rax, rcx, rdx. The task register stays the firmware's until the guest runs: it cannot be
     * given back, since LTR takes no null selector, which is what most firmware has. */
    ".globl load_tables\n"
    "load_tables: lgdt " FIELD(our_gdt) "; lidt " FIELD(our_idt) "\n"
    "pushq %[cs]; lea 5f(%%rip),%%rax; push %%rax; lretq\n"
    "5: mov %[ds],%%eax; mov %%eax,%%ss; mov %%eax,%%ds; mov %%eax,%%es; xor %%eax,%%eax; mov %%eax,%%fs; mov %%eax,%%gs\n"
    "mov $0xc0000101,%%ecx; mov " FIELD(our_gs_base) ",%%rax; mov %%rax,%%rdx; shr $32,%%rdx; wrmsr; ret\n"

    /* The procedure that each other processor is told by the firmware to run; rcx is the physical address of its
     * ProcessorStart block (src/vcpu/processors.ts), whose stack and context it fills in as far as a later hand cannot. */
    ".globl processor_entry\n"
    "processor_entry: mov %%rsp,0x18(%%rcx); mov %%rbx,0x20(%%rcx); mov %%rbp,0x28(%%rcx); mov %%rsi,0x30(%%rcx); mov %%rdi,0x38(%%rcx)\n"
    "mov %%r12,0x40(%%rcx); mov %%r13,0x48(%%rcx); mov %%r14,0x50(%%rcx); mov %%r15,0x58(%%rcx); pushfq; popq 0x60(%%rcx); cli\n"
    "mov %%cr3,%%rax; mov %%rax,0x70(%%rcx)\n"
    "mov %%rcx,%%rbx; mov $0xc0000080,%%ecx; rdmsr; mov %%eax,0x80(%%rbx); bts $11,%%eax; wrmsr; mov %%rbx,%%rcx\n" /* NXE */
    "mov " FIELD(our_cr3) ",%%rax; mov 0x08(%%rcx),%%rsp; lea start_processor(%%rip),%%rdx; sub " FIELD(to_physical) ",%%rdx\n"
    "mov %%rax,%%cr3; sub $40,%%rsp; jmp *%%rdx\n"
    "gate_end:\n"
    :: FIELD_OPERAND(to_physical), FIELD_OPERAND(firmware_cr3), FIELD_OPERAND(our_cr3), FIELD_OPERAND(firmware_rsp),
       FIELD_OPERAND(our_rsp), FIELD_OPERAND(firmware_rflags), FIELD_OPERAND(firmware_gdt), FIELD_OPERAND(firmware_idt),
       FIELD_OPERAND(our_gdt), FIELD_OPERAND(our_idt), FIELD_OPERAND(firmware_cs), FIELD_OPERAND(firmware_ss),
       FIELD_OPERAND(our_gs_base), FIELD_OPERAND(firmware_ds), FIELD_OPERAND(firmware_es), FIELD_OPERAND(firmware_fs), FIELD_OPERAND(firmware_gs),
       [cs] "i"(CODE_SELECTOR), [ds] "i"(DATA_SELECTOR));
}
void load_tables(void);

/* Arguments five to seven go where the callee looks for them: above the return address and 32 bytes of home space. */
#define MAXIMUM_ARGUMENTS 7
static u64 w2c_metal_firmwareCall(struct w2c_metal *m, u64 target, u32 args, u32 count) {
  u64 copy[MAXIMUM_ARGUMENTS] = {0}, *given = (u64 *)(u64)args;
  for (u32 i = 0; i < count && i < MAXIMUM_ARGUMENTS; i++) copy[i] = given[i];
  u64 *stack = (u64 *)(PHYSICAL + ((gate.firmware_rsp - 256) & -16ull));
  for (u32 i = 4; i < MAXIMUM_ARGUMENTS; i++) stack[i] = copy[i];
  return call_firmware(target, copy);
}
