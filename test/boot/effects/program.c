// A UEFI program that carries out cases (struct state) on plain memory and then, on Sheer as test/cores/hooking.ts has it,
// on hooked pages that behave as memory. Each difference is a line "@@ differs CASE WHAT"; the last is "@@ compared COUNT".
// The cases come from the file "opt/sheer/cases" of QEMU's firmware configuration device.
#define AVX
#include "../../unit/decode/native/state.h"

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

enum { CODE64 = 0x08, CODE32 = 0x10, DATA_FLAT = 0x18, CODE16 = 0x20, DATA16 = 0x28 };
enum { HOOK_LEAF = 0x5348dea0 };
enum { PAGE = 4096, LEAVE = 0x800 };

// Segments of 64 KiB for 16-bit code: at CODE, and with the middle of the case's memory at 8000h
#define BASE16(base) (((u64)(base) & 0xffffff) << 16 | ((u64)(base) >> 24) << 56)
static u64 gdt[] = {
  0, 0x00af9b000000ffff, 0x00cf9b000000ffff, 0x00cf93000000ffff,
  0x00009b000000ffff | BASE16(CODE), 0x000093000000ffff | BASE16(DATA + 0x1000 - 0x8000),
};

struct state current;
u64 host_stack;
u64 entry = CODE;
struct { u32 offset; u16 selector; } __attribute__((packed)) entry32 = {CODE, CODE32}, entry16 = {0, CODE16};

void run(void), back(void);
__asm__(
  ".text\n" OFFSETS
  "run: push %rbx; push %rbp; push %rsi; push %rdi; push %r12; push %r13; push %r14; push %r15\n"
  "mov %rsp, host_stack(%rip)\n"
  "lea current(%rip), %rdi\n"
  LOAD_VECTORS
  LOAD_REGISTERS
  "cmpl $16, BITS(%rdi); jne 1f; mov $0x28, %esi; mov %esi, %ss; mov %esi, %ds; mov %esi, %es\n"
  "mov host_stack(%rip), %rsp\n"
  "1: cmpl $32, BITS(%rdi)\n"
  "pushq FLAGS(%rdi)\n"
  "mov 48(%rdi), %rsi\n"
  "jb 3f; je 2f\n"
  "popfq; mov 32(%rdi), %rsp; mov 56(%rdi), %rdi; jmp *entry(%rip)\n"
  "2: popfq; mov 32(%rdi), %rsp; mov 56(%rdi), %rdi; ljmpl *entry32(%rip)\n"
  "3: popfq; mov 32(%rdi), %rsp; mov 56(%rdi), %rdi; ljmpl *entry16(%rip)\n"
  "back: mov %rsp, 32+current(%rip)\n"
  STORE_REGISTERS
  "mov $0x18, %eax; mov %eax, %ss; mov %eax, %ds; mov %eax, %es; mov host_stack(%rip), %rsp\n"
  "pushfq; popq FLAGS+current(%rip); cld\n"
  "lea current(%rip), %rdi\n"
  STORE_VECTORS
  "pop %r15; pop %r14; pop %r13; pop %r12; pop %rdi; pop %rsi; pop %rbp; pop %rbx; ret\n");

void *memcpy(void *to, const void *from, u64 count) {
  void *start = to;
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) :: "memory");
  return start;
}
static int differ(const void *a, const void *b, u64 count) {
  for (u64 i = 0; i < count; i++) if (((u8 *)a)[i] != ((u8 *)b)[i]) return 1;
  return 0;
}

static void out8(u16 port, u8 value) { __asm__ volatile("outb %0, %1" :: "a"(value), "Nd"(port)); }
static void out32(u16 port, u32 value) { __asm__ volatile("outl %0, %1" :: "a"(value), "Nd"(port)); }
static u8 in8(u16 port) { u8 value; __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port)); return value; }

static void write(const char *text) {
  for (; *text; text++) {
    while (!(in8(0x3f8 + 5) & 0x20)) __asm__ volatile("pause");
    out8(0x3f8, *text);
  }
}
static void write_number(u64 value, u32 base) {
  char digits[24], *at = digits + 23;
  *at = 0;
  do *--at = "0123456789abcdef"[value % base]; while (value /= base);
  write(at);
}
static void say(u32 index, const char *what, u64 is, u64 should_be) {
  write("@@ differs "); write_number(index, 10); write(" "); write(what); write(" ");
  write_number(is, 16); write(" not "); write_number(should_be, 16); write("\n");
}

static void stop(const char *why) {
  write(why);
  for (;;) __asm__ volatile("cli; hlt");
}

// EFI_BOOT_SERVICES.AllocatePages (UEFI 2.10, 7.2): 0 for any place, 2 for `at`; as code
static u64 allocate(void *system_table, u32 type, u64 at, u64 size) {
  u8 *services = *(u8 **)((u8 *)system_table + 96);
  u64 (*allocate_pages)(u32, u32, u64, u64 *) = *(void **)(services + 40);
  if (allocate_pages(type, 1, (size + PAGE - 1) / PAGE, &at)) stop("@@ no memory\n");
  return at;
}

// QEMU's firmware configuration device by DMA (docs/specs/fw_cfg.txt): selects `item` and reads `size` bytes of it.
static void read_configuration(u32 item, void *to, u32 size) {
  volatile struct { u32 control, length; u64 address; } request = {
    __builtin_bswap32(item << 16 | 8 | 2), __builtin_bswap32(size), __builtin_bswap64((u64)to)};
  out32(0x514, __builtin_bswap32((u64)&request >> 32));
  out32(0x518, __builtin_bswap32((u32)(u64)&request));
  while (request.control) __asm__ volatile("pause" ::: "memory");
}

static struct state *read_cases(void *system_table, u32 *count) {
  static struct { u32 count; struct { u32 size; u16 item, reserved; char name[56]; } files[64]; } __attribute__((packed)) directory;
  read_configuration(0x19, &directory, sizeof directory);
  for (u32 i = 0; i < 64 && i < __builtin_bswap32(directory.count); i++) {
    if (differ(directory.files[i].name, "opt/sheer/cases", 16)) continue;
    u32 size = __builtin_bswap32(directory.files[i].size);
    void *cases = (void *)allocate(system_table, 0, 0, size);
    read_configuration(__builtin_bswap16(directory.files[i].item), cases, size);
    *count = size / sizeof(struct state);
    return cases;
  }
  stop("@@ no cases\n");
  return 0;
}

static void carry_out(const struct state *before, u8 *memory, struct state *after) {
  u8 *code = (u8 *)CODE, *end = code + before->length;
  memcpy(&current, before, sizeof current);
  memcpy(code, current.code, current.length);
  memcpy(memory, current.memory, sizeof current.memory);
  current.flags &= ~0x200ull; // no interrupt
  if (current.bits == 64) { // jmp *0(%rip), and the address
    u64 target = (u64)back;
    memcpy(end, "\xff\x25\0\0\0\0", 6);
    memcpy(end + 6, &target, 8);
  } else { // a far jump with an offset of 32 bits to the 64-bit code segment
    struct { u32 offset; u16 selector; } target = {CODE + LEAVE, CODE64};
    if (current.bits == 16) *end++ = 0x66;
    *end = 0xea;
    memcpy(end + 1, &target, 6);
  }
  run();
  memcpy(current.memory, memory, sizeof current.memory);
  memcpy(after, &current, sizeof current);
}

static void compare(u32 index, const struct state *is, const struct state *should_be) {
  u64 mask = is->bits == 64 ? ~0ull : 0xffffffff, flags = 0xcd5 & ~is->undefined;
  for (u32 i = 0; i < (is->bits == 64 ? 16 : 8); i++)
    if ((is->registers[i] ^ should_be->registers[i]) & mask) say(index, "register", is->registers[i], should_be->registers[i]);
  if ((is->flags ^ should_be->flags) & flags) say(index, "flags", is->flags & flags, should_be->flags & flags);
  for (u32 at = 0; at < 256; at++)
    if (is->memory[at] != should_be->memory[at]) { say(index, "memory", is->memory[at], should_be->memory[at]); break; }
  for (u32 i = 0; i < 16; i++)
    if (differ(is->vectors[i], should_be->vectors[i], 32)) say(index, "vector", *(u64 *)is->vectors[i], *(u64 *)should_be->vectors[i]);
}

// SSE is on in UEFI; AVX too from here on.
static void enable_avx(void) {
  __asm__ volatile("mov %%cr4, %%rax; bts $18, %%rax; mov %%rax, %%cr4; xgetbv; or $7, %%eax; xsetbv" :: "c"(0) : "rax", "rdx");
}

static void use_own_segments(void) {
  struct { u16 limit; u64 base; } __attribute__((packed)) table = {sizeof gdt - 1, (u64)gdt};
  __asm__ volatile(
    "cli; lgdt %0; pushq $0x08; lea 1f(%%rip), %%rax; push %%rax; lretq\n1: mov $0x18, %%eax\n"
    "mov %%eax, %%ss; mov %%eax, %%ds; mov %%eax, %%es" :: "m"(table) : "rax", "memory");
}

u64 efi_main(void *handle, void *system_table) {
  u32 count;
  struct state *cases = read_cases(system_table, &count);
  struct state *plain = (void *)allocate(system_table, 0, 0, count * sizeof *plain);
  u8 *behind = (u8 *)allocate(system_table, 0, 0, 2 * PAGE);
  allocate(system_table, 2, CODE, PAGE);
  allocate(system_table, 2, DATA, 2 * PAGE);
  enable_avx();
  use_own_segments();
  u64 target = (u64)back;
  memcpy((u8 *)CODE + LEAVE, "\xff\x25\0\0\0\0", 6);
  memcpy((u8 *)CODE + LEAVE + 6, &target, 8);

  for (u32 i = 0; i < count; i++) carry_out(cases + i, (u8 *)WINDOW, plain + i);
  write("@@ plain\n");
  u32 leaf = HOOK_LEAF;
  u64 page = DATA, length = 2 * PAGE, memory = (u64)behind;
  __asm__ volatile("cpuid" : "+a"(leaf), "+b"(page), "+c"(length), "+d"(memory));
  static struct state hooked;
  for (u32 i = 0; i < count; i++) {
    carry_out(cases + i, behind + (WINDOW - DATA), &hooked);
    compare(i, &hooked, plain + i);
  }
  write("@@ compared "); write_number(count, 10); write("\n");
  stop("");
  return 0;
}
