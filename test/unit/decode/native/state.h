// What programs that run instructions on a processor share: a case of test/unit/decode/native.ts, and where it runs.
#pragma once
#include <stdint.h>

#define CODE 0x10000000
#define DATA 0x20000000
// The case's memory is around a page border.
#define WINDOW (DATA + 0x1000 - 128)

struct state {
  uint64_t registers[16], flags, undefined;
  uint32_t bits, length;
  uint8_t code[16], memory[256], vectors[16][32];
};

// For assembler with a struct state at RDI
#define OFFSETS ".set FLAGS, 128\n.set BITS, 144\n.set VECTORS, 424\n"
#define LOAD_REGISTERS \
  "mov (%rdi), %rax; mov 8(%rdi), %rcx; mov 16(%rdi), %rdx; mov 24(%rdi), %rbx; mov 40(%rdi), %rbp\n" \
  "mov 64(%rdi), %r8; mov 72(%rdi), %r9; mov 80(%rdi), %r10; mov 88(%rdi), %r11\n" \
  "mov 96(%rdi), %r12; mov 104(%rdi), %r13; mov 112(%rdi), %r14; mov 120(%rdi), %r15\n"

// An instruction for each of the sixteen vector registers, with AVX or without
#ifdef AVX
#define CHOOSE(avx, sse) avx
#else
#define CHOOSE(avx, sse) sse
#endif
#define EACH_VECTOR(avx, sse) ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n" CHOOSE(avx, sse) "\n.endr\n"
#define LOAD_VECTORS EACH_VECTOR("vmovups VECTORS+32*\\n(%rdi), %ymm\\n", "movups VECTORS+32*\\n(%rdi), %xmm\\n")
#define STORE_VECTORS EACH_VECTOR("vmovups %ymm\\n, VECTORS+32*\\n(%rdi)", "movups %xmm\\n, VECTORS+32*\\n(%rdi)")

// In `current`, everything but RSP, RFLAGS and vectors
#define STORE_REGISTERS \
  "mov %rax, current(%rip); mov %rcx, 8+current(%rip); mov %rdx, 16+current(%rip); mov %rbx, 24+current(%rip)\n" \
  "mov %rbp, 40+current(%rip); mov %rsi, 48+current(%rip); mov %rdi, 56+current(%rip)\n" \
  "mov %r8, 64+current(%rip); mov %r9, 72+current(%rip); mov %r10, 80+current(%rip); mov %r11, 88+current(%rip)\n" \
  "mov %r12, 96+current(%rip); mov %r13, 104+current(%rip); mov %r14, 112+current(%rip); mov %r15, 120+current(%rip)\n"
