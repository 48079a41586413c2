/* sheer.efi: from the firmware's call to the core and, if the core says so, back. One translation unit, so that the
 * imports inline into the core and the core's exports into their callers. */
#include "types.h"
#include "imports.h"
#include "firmware.h"
#include "paging.h"
#include "processors.h"
#include "descriptors.h"
#include "names.h"
#include "svm.h"
#include "threads.h"
#include "vector.h"
#include "runtime.h"
#include "efi.h"
#include "hash.h"

static u32 cpuid_register(u32 leaf, int index) {
  u32 r[4];
  __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(0));
  return r[index];
}

/* The paging features that operating systems turn on too: the host's code runs under SMEP and SMAP, and an emulator has
 * no reason to empty its translation caches once more because the bits differ between host and guest. And all that lets
 * vector.h reach whatever registers the guest may use. */
static void use_own_control_registers(void) {
  u64 cr0, cr4;
  __asm__ volatile("mov %%cr0,%0; mov %%cr4,%1" : "=r"(cr0), "=r"(cr4));
  u32 features = cpuid_register(1, 3), extended = cpuid_register(0, 0) >= 7 ? cpuid_register(7, 1) : 0;
  cr4 |= 1 << 9; /* OSFXSR */
  if (cpuid_register(1, 2) >> 26 & 1) cr4 |= 1 << 18; /* OSXSAVE */
  if (features >> 3 & 1) cr4 |= 1 << 4; /* PSE */
  if (features >> 13 & 1) cr4 |= 1 << 7; /* PGE */
  if (extended >> 7 & 1) cr4 |= 1 << 20; /* SMEP */
  if (extended >> 20 & 1) cr4 |= 1 << 21; /* SMAP */
  __asm__ volatile("mov %0,%%cr0; mov %1,%%cr4" :: "r"(cr0 & ~0xcull), "r"(cr4)); /* without EM and TS */
}

static void w2c_metal_runSvmGuest(struct w2c_metal *m, u32 run) {
  struct processor *p = this_processor();
  p->run = run;
  use_own_stacks(p);
  use_own_control_registers();
  svm_loop(run, STACK_TOP(p->index, MAIN_STACK), false);
}
static void w2c_metal_runVmxGuest(struct w2c_metal *m, u32 run) {
  struct processor *p = this_processor();
  p->run = run;
  use_own_stacks(p);
  use_own_control_registers();
  set_host_state(p);
  vmx_loop(run, STACK_TOP(p->index, MAIN_STACK), false);
}
IMPORT u32 w2c_metal_thisProcessor(M) { return this_processor()->index; }
extern u8 processor_entry[];
IMPORT u64 w2c_metal_processorEntry(M) { return (u64)processor_entry + gate.to_physical; }
IMPORT u64 w2c_metal_processorStack(M, u32 index) { return STACK_TOP((u64)index, MAIN_STACK); }
IMPORT void w2c_metal_coreHash(M, u32 buffer) { __builtin_memcpy((void *)(u64)buffer, CORE_SHA256, 64); }
IMPORT u32 w2c_metal_functionName(M, u64 address, u32 buffer, u32 capacity) {
  return function_name(address - IMAGE, (char *)(u64)buffer, capacity);
}
extern u8 rdmsr_at[], rdmsr_failed[], wrmsr_at[], wrmsr_failed[];
static __attribute__((used, noinline)) u32 w2c_metal_tryRdmsr(struct w2c_metal *m, u32 index, u32 result) {
  u32 lo = 0, hi = 0, ok;
  __asm__ volatile(".globl rdmsr_at, rdmsr_failed\nmov $1,%0\nrdmsr_at: rdmsr\njmp 1f\nrdmsr_failed: mov $0,%0\n1:"
    : "=&r"(ok), "+a"(lo), "+d"(hi) : "c"(index));
  if (ok) *(u64 *)(u64)result = (u64)hi << 32 | lo;
  return ok;
}
static __attribute__((used, noinline)) u32 w2c_metal_tryWrmsr(struct w2c_metal *m, u32 index, u64 value) {
  u32 ok;
  __asm__ volatile(".globl wrmsr_at, wrmsr_failed\nmov $1,%0\nwrmsr_at: wrmsr\njmp 1f\nwrmsr_failed: mov $0,%0\n1:"
    : "=&r"(ok) : "c"(index), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
  return ok;
}

#include "core.c"

w2c_core core;

/* A thread from its start to its end, on its stack, which nobody comes back to after that. */
__attribute__((used, noreturn)) void run_thread(void) {
  w2c_core_thread(&core, this_processor()->thread);
  w2c_metal_suspendThread(0);
  stop();
}

/* ---- Traps of the hypervisor itself ---- */

enum { AFTER_TRAP_STOP, AFTER_TRAP_GUEST, AFTER_TRAP_WAIT }; /* AfterTrap of src/control/trap.ts */

/* On the main stack, afresh: reports, then rejoins the guest if it has run and the core says so, else the firmware. */
static __attribute__((used, noreturn)) void recover(void) {
  struct processor *p = this_processor();
  u32 then = w2c_core_trap(&core, (u32)p->trap_kind, p->trap_address);
  if (!p->run && p->index == 0) depart(EFI_ABORTED);
  if (then == AFTER_TRAP_STOP || !p->run) stop();
  p->in_trap = false;
  (p->vmx ? vmx_loop : svm_loop)(p->run, STACK_TOP(p->index, MAIN_STACK), then == AFTER_TRAP_WAIT);
}

static __attribute__((noreturn)) void trap(u64 kind, u64 address) {
  struct processor *p = this_processor();
  if (p->in_trap) stop(); /* a trap while one is reported: nothing is left to trust */
  p->in_trap = true;
  p->trap_kind = kind;
  p->trap_address = address;
  __asm__ volatile("mov %0,%%rsp; sub $32,%%rsp; call recover" :: "r"(STACK_TOP(p->index, MAIN_STACK)) : "memory");
  __builtin_unreachable();
}

__attribute__((noreturn, cold, noinline)) void wasm_rt_trap(wasm_rt_trap_t t) {
  trap(0x100 + t, (u64)__builtin_return_address(0) - 1); /* of the call: behind it may be another function */
}

void on_vector(struct interrupt_frame *f) {
  struct processor *p = this_processor();
  if (f->vector == 2) {
    p->window_result |= WINDOW_NMI;
    p->nmi = p->vmx;
    if (f->rip == (u64)nmi_wait) f->rip = (u64)nmi_waited;
    if (f->rip >= (u64)vmx_enter && f->rip < (u64)vmx_entered) f->rip = (u64)vmx_enter;
    if (f->rip >= (u64)vmx_wait && f->rip < (u64)vmx_waited) f->rip = (u64)vmx_waited;
    return;
  }
  if (f->rip == (u64)interrupt_window) {
    p->window_result |= WINDOW_EXTERNAL | (u32)f->vector;
    f->rflags &= ~0x200ull;
    return;
  }
  if (f->vector == 1) { f->rflags |= 1 << 16; return; } /* a breakpoint of the guest's that some processors leave armed */
  if (f->vector == 13 && f->rip == (u64)rdmsr_at) { f->rip = (u64)rdmsr_failed; return; }
  if (f->vector == 13 && f->rip == (u64)xsetbv_at) { f->rip = (u64)xsetbv_failed; return; }
  if (f->vector == 13 && f->rip == (u64)wrmsr_at) { f->rip = (u64)wrmsr_failed; return; }
  trap(f->vector, f->rip);
}

/* ---- Into the block ---- */

/* FirmwareContext of src/boot/info.ts. */
struct context {
  u64 rsp, rbx, rbp, rsi, rdi, r12, r13, r14, r15, rflags, cr0, cr3, cr4, efer, fs_base, gs_base, gdt_base, idt_base;
  u32 gdt_limit, idt_limit;
  u16 cs, ss, ds, es, fs, gs, tr, ldtr;
};
/* BootInfo of src/boot/info.ts, at the second page of linear memory. */
struct boot_info {
  u64 image_handle, system_table, block_base, block_size;
  struct context context;
};
static struct boot_info info;
/* ProcessorStart of src/vcpu/processors.ts. */
struct processor_start { u64 index, stack, arrival; struct context context; };
#define BOOT_INFO 0x1000

/* In the block's image, on the block's stack, under the block's page tables. */
static __attribute__((used, noreturn)) void start(void) {
  set_descriptors();
  load_tables();
  *(struct boot_info *)BOOT_INFO = info;
  wasm2c_core_instantiate(&core, 0);
  depart(w2c_core_boot(&core, BOOT_INFO));
}

/* What can be noted of the firmware's context by any code that has not yet changed it. */
static void note_context(struct context *c) {
  struct table gdtr, idtr;
  __asm__ volatile("sgdt %0; sidt %1; str %2; sldt %3" : "=m"(gdtr), "=m"(idtr), "=m"(c->tr), "=m"(c->ldtr));
  __asm__ volatile("mov %%cs,%0; mov %%ss,%1; mov %%ds,%2; mov %%es,%3; mov %%fs,%4; mov %%gs,%5"
    : "=m"(c->cs), "=m"(c->ss), "=m"(c->ds), "=m"(c->es), "=m"(c->fs), "=m"(c->gs));
  __asm__ volatile("mov %%cr0,%0; mov %%cr4,%1" : "=r"(c->cr0), "=r"(c->cr4));
  c->fs_base = w2c_metal_rdmsr(0, 0xc0000100);
  c->gs_base = w2c_metal_rdmsr(0, 0xc0000101);
  c->gdt_base = gdtr.base; c->gdt_limit = gdtr.limit;
  c->idt_base = idtr.base; c->idt_limit = idtr.limit;
}

/* Another processor, on its own stack, under the block's page tables. What it ran for the firmware goes on as the guest. */
__attribute__((used, noreturn)) void start_processor(u64 block) {
  struct processor_start *s = (struct processor_start *)(PHYSICAL + block);
  struct processor *p = &processors[s->index];
  note_context(&s->context);
  set_processor(s->index);
  struct table gdt = {sizeof p->gdt - 1, (u64)p->gdt};
  __asm__ volatile("lgdt %0; lidt %1; pushq %2; lea 1f(%%rip),%%rax; push %%rax; lretq\n1: mov %3,%%eax; mov %%eax,%%ss\n"
    "mov %%eax,%%ds; mov %%eax,%%es; xor %%eax,%%eax; mov %%eax,%%fs; mov %%eax,%%gs"
    :: "m"(gdt), "m"(gate.our_idt), "i"(CODE_SELECTOR), "i"(DATA_SELECTOR) : "rax", "memory");
  w2c_metal_wrmsr(0, 0xc0000101, (u64)p);
  w2c_core_processor(&core, s->index);
  stop();
}

extern u8 __ImageBase[];

/* Applies the program's base relocations to its copy, for a base of IMAGE. */
static void relocate(u8 *copy) {
  u8 *pe = copy + *(u32 *)(copy + 0x3c);
  u32 at = *(u32 *)(pe + 0xb0), size = *(u32 *)(pe + 0xb4);
  u64 delta = IMAGE - (u64)__ImageBase;
  for (u8 *p = copy + at, *end = p + size; p < end; p += *(u32 *)(p + 4))
    for (u16 *r = (u16 *)(p + 8), *last = (u16 *)(p + *(u32 *)(p + 4)); r < last; r++)
      if (*r >> 12 == 10) *(u64 *)(copy + *(u32 *)p + (*r & 0xfff)) += delta; /* IMAGE_REL_BASED_DIR64 */
}

static u64 image_size(void) {
  u8 *pe = __ImageBase + *(u32 *)(__ImageBase + 0x3c);
  return (*(u32 *)(pe + 0x50) + PAGE - 1) & -PAGE; /* SizeOfImage */
}

/* Sections as the PE header says: code can be executed and not written, everything else the other way round. */
static u64 section_flags(u64 offset) {
  u8 *pe = __ImageBase + *(u32 *)(__ImageBase + 0x3c), *s = pe + 24 + *(u16 *)(pe + 20);
  for (u32 i = 0; i < *(u16 *)(pe + 6); i++, s += 40) {
    u32 size = *(u32 *)(s + 8), at = *(u32 *)(s + 12), flags = *(u32 *)(s + 36);
    if (offset - at >= ((size + PAGE - 1) & -PAGE)) continue;
    return PRESENT | (flags & 0x80000000u ? WRITE : 0) | (flags & 0x20000000u ? 0 : NO_EXECUTE);
  }
  return PRESENT | NO_EXECUTE;
}

/* Page tables for the image at `image` and the stacks behind it; returns CR3. */
static u64 build_tables(struct builder *b, u64 image) {
  u64 root = take_page(b), *pml4 = (u64 *)root;
  bool extended = cpuid_register(0x80000000, 0) >= 0x80000008;
  u32 bits = extended ? cpuid_register(0x80000008, 0) & 0xff : 36;
  map_physical(b, pml4, cpuid_register(0x80000001, 3) >> 26 & 1, bits);
  for (u64 p = PAGE; p < LINEAR_SIZE; p += PAGE) map_page(b, pml4, p, linear_physical + p, PRESENT | WRITE | NO_EXECUTE);
  for (u64 p = 0; p < image_size(); p += PAGE) map_page(b, pml4, IMAGE + p, image + p, section_flags(p));
  for (u64 p = 0; p < MAXIMUM_PROCESSORS * AREA_PAGES; p++)
    if (is_stack_page(p % AREA_PAGES)) map_page(b, pml4, STACKS + p * PAGE, take_page(b), PRESENT | WRITE | NO_EXECUTE);
  for (u64 p = 0; p < THREADS * THREAD_AREA_PAGES; p++)
    if (p % THREAD_AREA_PAGES >= THREAD_AREA_PAGES - THREAD_STACK_PAGES)
      map_page(b, pml4, STACKS + (FIRST_THREAD_PAGE + p) * PAGE, take_page(b), PRESENT | WRITE | NO_EXECUTE);
  u64 first = ((u64)gate_begin - (u64)__ImageBase) & -PAGE, last = ((u64)gate_end - (u64)__ImageBase) & -PAGE;
  for (u64 p = first; p <= last; p += PAGE) map_page(b, pml4, image + p, image + p, PRESENT);
  if (!(info.context.cr4 & 1 << 12)) return root;
  u64 *pml5 = (u64 *)take_page(b); /* CR4.LA57 */
  pml5[0] = pml5[511] = root | PRESENT | WRITE;
  return (u64)pml5;
}

static void say(system_table *st, const u16 *text) { st->out->output(st->out, text); }

/* 16 MiB on a 2 MiB border below 4 GiB, or 0. */
static u64 reserve(boot_services *boot) {
  u64 spare = 2ull << 20, size = BLOCK_SIZE + spare, at = 0xffffffff;
  if (boot->allocate_pages(ALLOCATE_MAX_ADDRESS, EFI_RESERVED_MEMORY_TYPE, size / PAGE, &at)) return 0;
  u64 block = (at + spare - 1) & -spare;
  if (block > at) boot->free_pages(at, (block - at) / PAGE);
  if (block < at + spare) boot->free_pages(block + BLOCK_SIZE, (at + spare - block) / PAGE);
  return block;
}

static void note_firmware(u64 block) {
  struct context *c = &info.context;
  note_context(c);
  __asm__ volatile("mov %%cr3,%0; pushfq; pop %1" : "=r"(c->cr3), "=r"(c->rflags));
  c->efer = w2c_metal_rdmsr(0, 0xc0000080);
  info.block_base = block; info.block_size = BLOCK_SIZE;
  gate.firmware_gdt = (struct table){c->gdt_limit, c->gdt_base};
  gate.firmware_idt = (struct table){c->idt_limit, c->idt_base};
  gate.firmware_cr3 = c->cr3; gate.firmware_rflags = c->rflags;
  gate.firmware_cs = c->cs; gate.firmware_ss = c->ss; gate.firmware_ds = c->ds; gate.firmware_es = c->es;
  gate.firmware_fs = c->fs; gate.firmware_gs = c->gs;
}

/* Called by efi_main with the registers noted in `info`; returns only if the machine is to go on without Sheer. */
__attribute__((used)) u64 enter(void *handle, system_table *st) {
  u64 block = reserve(st->boot);
  if (!block) {
    say(st, u"Sheer needs 16 MiB of free memory below 4 GiB, and the firmware has none. The machine goes on without Sheer.\r\n");
    return EFI_OUT_OF_RESOURCES;
  }
  info.image_handle = (u64)handle; info.system_table = (u64)st;
  note_firmware(block);
  linear_physical = block;
  u64 image = block + LINEAR_SIZE;
  struct builder b = {image + image_size(), block + BLOCK_SIZE};
  __builtin_memset((void *)block, 0, LINEAR_SIZE);
  w2c_metal_wrmsr(0, 0xc0000080, info.context.efer | 1 << 11); /* EFER.NXE: our tables use NX */
  gate.our_cr3 = build_tables(&b, image);
  if (b.next == b.end) stop(); /* sizes are fixed by the build; map_physical takes most: 128 pages for 46 bits */
  gate.to_physical = image - IMAGE;
  __builtin_memcpy((void *)image, __ImageBase, image_size());
  relocate((u8 *)image);
  u64 to_copy = image - (u64)__ImageBase, to_image = IMAGE - (u64)__ImageBase;
  u64 (*cross_there)(u64, u64, u64) = (void *)((u64)cross + to_copy);
  u64 status = cross_there(gate.our_cr3, (u64)start + to_image, STACK_TOP(0, MAIN_STACK) - 40);
  w2c_metal_wrmsr(0, 0xc0000080, info.context.efer);
  w2c_metal_wrmsr(0, 0xc0000101, info.context.gs_base);
  st->boot->free_pages(block, BLOCK_SIZE / PAGE);
  return status;
}

/* The firmware's registers as a return must restore them; r8 to r11, rax, rcx and rdx are not preserved by a call. */
__attribute__((naked)) u64 efi_main(void *handle, system_table *st) {
#define NOTE(r) "mov %%" #r ", info+%c[" #r "](%%rip);"
#define NOTED(r) [r] "i"(__builtin_offsetof(struct boot_info, context.r))
  __asm__ volatile(NOTE(rsp) NOTE(rbx) NOTE(rbp) NOTE(rsi) NOTE(rdi) NOTE(r12) NOTE(r13) NOTE(r14) NOTE(r15)
    "sub $40,%%rsp; call enter; add $40,%%rsp; ret"
    :: NOTED(rsp), NOTED(rbx), NOTED(rbp), NOTED(rsi), NOTED(rdi), NOTED(r12), NOTED(r13), NOTED(r14), NOTED(r15));
}
