// Runs instructions on this machine's own processor, to compare the core's results with. Reads cases from standard
// input and writes their results to standard output, both as struct state. A case's code runs at CODE, with its
// registers and flags, on its 256 bytes of memory around the page border at DATA + 4096.
#define _GNU_SOURCE
#include "state.h"
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

// Linux's code segments for 64- and 32-bit programs, and its data segment
#define USER_CS 0x33
#define USER32_CS 0x23
#define USER_DS 0x2b

struct state current;
uint64_t host_stack;
uint64_t entry;
struct { uint32_t offset; uint16_t selector; } __attribute__((packed)) entry32 = {CODE, USER32_CS};

void run(void), back(void);
__asm__(
    ".text\n" OFFSETS
    "run: push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "mov %rsp, host_stack(%rip)\n"
    "lea current(%rip), %rdi\n"
    LOAD_VECTORS
    LOAD_REGISTERS
    "cmpl $32, BITS(%rdi)\n"
    "pushq FLAGS(%rdi)\n"
    "mov 48(%rdi), %rsi\n"
    "je 1f\n"
    "popfq; mov 32(%rdi), %rsp; mov 56(%rdi), %rdi; jmp *entry(%rip)\n"
    "1: popfq; mov 32(%rdi), %rsp; mov 56(%rdi), %rdi; ljmpl *entry32(%rip)\n"
    "back: mov %rsp, 32+current(%rip); mov host_stack(%rip), %rsp\n"
    STORE_REGISTERS
    "pushfq; popq FLAGS+current(%rip); cld\n"
    "lea current(%rip), %rdi\n"
    STORE_VECTORS
    "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx; ret\n");

/** Jumps to `back` in 64-bit mode, with no register. */
static uint8_t *leave64(uint8_t *at) {
  uint64_t target = (uint64_t)back;
  memcpy(at, "\xff\x25\0\0\0\0", 6);
  memcpy(at + 6, &target, 8);
  return at + 14;
}

/** Whether Linux has a code segment for 32-bit programs here. */
static int runs32BitCode(void) {
  uint32_t rights = 0;
  __asm__("lar %1, %0" : "+r"(rights) : "r"(USER32_CS));
  return (rights >> 8 & 0x98) == 0x98; // present, code (Intel SDM 2, LAR)
}

int main(int count, char **arguments) {
  if (count > 1 && !strcmp(arguments[1], "32")) return !runs32BitCode();
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
