// Runs instructions on this machine's own processor, to compare the core's results with. Reads cases from standard
// input and writes their results to standard output, both as struct state. A case's code runs at CODE, with its
// registers and flags, on its 256 bytes of memory around the page border at DATA + 4096.
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define CODE 0x10000000
#define DATA 0x20000000
#define WINDOW (DATA + 0x1000 - 128)
// Linux's code segments for 64- and 32-bit programs, and its data segment
#define USER_CS 0x33
#define USER32_CS 0x23
#define USER_DS 0x2b

struct state {
  uint64_t registers[16];
  uint64_t flags;
  uint32_t bits, length;
  uint8_t code[16], memory[256], vectors[16][32];
};

// An instruction for each of the sixteen, with AVX or without.
#ifdef AVX
#define CHOOSE(avx, sse) avx
#else
#define CHOOSE(avx, sse) sse
#endif
#define EACH_VECTOR(avx, sse) ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n" CHOOSE(avx, sse) "\n.endr\n"

struct state current;
uint64_t host_stack;
uint64_t entry;
struct { uint32_t offset; uint16_t selector; } __attribute__((packed)) entry32 = {CODE, USER32_CS};

void run(void), back(void);
__asm__(
    ".text\n"
    ".set VECTORS, 416\n" // offsetof(struct state, vectors)
    "run: push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "mov %rsp, host_stack(%rip)\n"
    "lea current(%rip), %rdi\n"
    EACH_VECTOR("vmovups VECTORS+32*\\n(%rdi), %ymm\\n", "movups VECTORS+32*\\n(%rdi), %xmm\\n")
    "mov (%rdi), %rax; mov 8(%rdi), %rcx; mov 16(%rdi), %rdx; mov 24(%rdi), %rbx; mov 40(%rdi), %rbp\n"
    "mov 64(%rdi), %r8; mov 72(%rdi), %r9; mov 80(%rdi), %r10; mov 88(%rdi), %r11\n"
    "mov 96(%rdi), %r12; mov 104(%rdi), %r13; mov 112(%rdi), %r14; mov 120(%rdi), %r15\n"
    "cmpl $32, 136(%rdi)\n"
    "pushq 128(%rdi)\n"
    "mov 48(%rdi), %rsi\n"
    "je 1f\n"
    "popfq; mov 32(%rdi), %rsp; mov 56(%rdi), %rdi; jmp *entry(%rip)\n"
    "1: popfq; mov 32(%rdi), %rsp; mov 56(%rdi), %rdi; ljmpl *entry32(%rip)\n"
    "back: mov %rsp, 32+current(%rip); mov host_stack(%rip), %rsp\n"
    "mov %rax, current(%rip); mov %rcx, 8+current(%rip); mov %rdx, 16+current(%rip); mov %rbx, 24+current(%rip)\n"
    "mov %rbp, 40+current(%rip); mov %rsi, 48+current(%rip); mov %rdi, 56+current(%rip)\n"
    "mov %r8, 64+current(%rip); mov %r9, 72+current(%rip); mov %r10, 80+current(%rip); mov %r11, 88+current(%rip)\n"
    "mov %r12, 96+current(%rip); mov %r13, 104+current(%rip); mov %r14, 112+current(%rip); mov %r15, 120+current(%rip)\n"
    "pushfq; popq 128+current(%rip); cld\n"
    "lea current(%rip), %rdi\n"
    EACH_VECTOR("vmovups %ymm\\n, VECTORS+32*\\n(%rdi)", "movups %xmm\\n, VECTORS+32*\\n(%rdi)")
    "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx; ret\n");

/** Jumps to `back` in 64-bit mode, with no register. */
static uint8_t *leave64(uint8_t *at) {
  uint64_t target = (uint64_t)back;
  memcpy(at, "\xff\x25\0\0\0\0", 6);
  memcpy(at + 6, &target, 8);
  return at + 14;
}

int main(void) {
  int anywhere = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  uint8_t *code = mmap((void *)CODE, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, anywhere, -1, 0);
  uint8_t *data = mmap((void *)DATA, 8192, PROT_READ | PROT_WRITE, anywhere, -1, 0);
  if (code == MAP_FAILED || data == MAP_FAILED) return 1;
  leave64(code + 0x800);
  __asm__ volatile("mov %0, %%ds; mov %0, %%es" ::"r"(USER_DS));
  entry = CODE;
  while (fread(&current, sizeof current, 1, stdin) == 1) {
    memcpy(code, current.code, current.length);
    memcpy((void *)WINDOW, current.memory, sizeof current.memory);
    uint8_t *end = code + current.length;
    if (current.bits == 32) { // a far jump back to the 64-bit code segment
      uint32_t offset = CODE + 0x800;
      uint16_t selector = USER_CS;
      *end = 0xea;
      memcpy(end + 1, &offset, 4);
      memcpy(end + 5, &selector, 2);
    } else leave64(end);
    run();
    memcpy(current.memory, (void *)WINDOW, sizeof current.memory);
    fwrite(&current, sizeof current, 1, stdout);
  }
  return 0;
}
