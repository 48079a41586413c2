/* The guest's registers of the extended state, which stay in the processor while the hypervisor, compiled without them, runs. */
#pragma once
#include "types.h"
struct w2c_metal;

struct vector { u8 bytes[32]; };
#define EACH_VECTOR(F) F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10) F(11) F(12) F(13) F(14) F(15)
#define READ_VECTOR(n) case n: \
  if (wide) __asm__ volatile("vmovups %%ymm" #n ",%0" : "=m"(*v)); \
  else __asm__ volatile("movups %%xmm" #n ",%0" : "=m"(*v)); \
  break;
#define WRITE_VECTOR(n) case n: \
  if (wide) __asm__ volatile("vmovups %0,%%ymm" #n :: "m"(*v)); \
  else __asm__ volatile("movups %0,%%xmm" #n :: "m"(*v)); \
  break;

static __attribute__((used, noinline)) void w2c_metal_readVector(struct w2c_metal *m, u32 index, u32 to, u32 wide) {
  struct vector *v = (struct vector *)(u64)to;
  switch (index & 15) { EACH_VECTOR(READ_VECTOR) }
}
static __attribute__((used, noinline)) void w2c_metal_writeVector(struct w2c_metal *m, u32 index, u32 from, u32 wide) {
  struct vector *v = (struct vector *)(u64)from;
  switch (index & 15) { EACH_VECTOR(WRITE_VECTOR) }
}
static inline __attribute__((always_inline, unused)) u64 w2c_metal_readXcr0(struct w2c_metal *m) {
  u32 lo, hi;
  __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
  return (u64)hi << 32 | lo;
}
/* RDPKRU needs CR4.PKE, which the host otherwise has clear; it has no user pages, to which alone keys apply. */
static inline __attribute__((always_inline, unused)) u32 w2c_metal_readPkru(struct w2c_metal *m) {
  u64 cr4;
  u32 pkru, edx;
  __asm__ volatile("mov %%cr4,%0" : "=r"(cr4));
  __asm__ volatile("mov %0,%%cr4" :: "r"(cr4 | 1 << 22) : "memory");
  __asm__ volatile("rdpkru" : "=a"(pkru), "=d"(edx) : "c"(0));
  __asm__ volatile("mov %0,%%cr4" :: "r"(cr4) : "memory");
  return pkru;
}
