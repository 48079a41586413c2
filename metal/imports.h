/* The bodies of src/metal.ts that are an instruction or a few. They have internal linkage and come before wasm2c's
 * output, whose later declarations keep that linkage (C11 6.2.2p4), so that each is inlined where TypeScript calls it. */
#pragma once
#include "types.h"
struct w2c_metal;
#define IMPORT static inline __attribute__((always_inline, unused))
#define M struct w2c_metal *m
#define AT(type, address) (*(volatile type *)(PHYSICAL + (address)))

static u64 linear_physical; /* physical address of linear memory */

IMPORT u32 w2c_metal_physRead8(M, u64 a) { return AT(u8, a); }
IMPORT u32 w2c_metal_physRead16(M, u64 a) { return AT(u16, a); }
IMPORT u32 w2c_metal_physRead32(M, u64 a) { return AT(u32, a); }
IMPORT u64 w2c_metal_physRead64(M, u64 a) { return AT(u64, a); }
IMPORT void w2c_metal_physWrite8(M, u64 a, u32 v) { AT(u8, a) = v; }
IMPORT void w2c_metal_physWrite16(M, u64 a, u32 v) { AT(u16, a) = v; }
IMPORT void w2c_metal_physWrite32(M, u64 a, u32 v) { AT(u32, a) = v; }
IMPORT void w2c_metal_physWrite64(M, u64 a, u64 v) { AT(u64, a) = v; }
#define COMPARE_EXCHANGE(type, a, expected, v) \
  __atomic_compare_exchange_n((type *)(PHYSICAL + (a)), &(expected), v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)
IMPORT u32 w2c_metal_physCompareExchange32(M, u64 a, u32 expected, u32 v) {
  COMPARE_EXCHANGE(u32, a, expected, v);
  return expected;
}
IMPORT u64 w2c_metal_physCompareExchange64(M, u64 a, u64 expected, u64 v) {
  COMPARE_EXCHANGE(u64, a, expected, v);
  return expected;
}
IMPORT void w2c_metal_physCopy(M, u64 to, u64 from, u64 length) {
  u64 d = PHYSICAL + to, s = PHYSICAL + from, words = length >> 3, rest = length & 7;
  __asm__ volatile("rep movsq; mov %3,%%rcx; rep movsb" : "+D"(d), "+S"(s), "+c"(words) : "r"(rest) : "memory");
}
IMPORT u64 w2c_metal_physOf(M, u32 pointer) { return linear_physical + pointer; }
IMPORT void w2c_metal_fence(M) { __asm__ volatile("mfence" ::: "memory"); }

IMPORT u32 w2c_metal_atomicLoad32(M, u32 p) { return __atomic_load_n((u32 *)(u64)p, __ATOMIC_SEQ_CST); }
IMPORT void w2c_metal_atomicStore32(M, u32 p, u32 v) { __atomic_store_n((u32 *)(u64)p, v, __ATOMIC_SEQ_CST); }
IMPORT u32 w2c_metal_atomicAdd32(M, u32 p, u32 v) { return __atomic_fetch_add((u32 *)(u64)p, v, __ATOMIC_SEQ_CST); }
IMPORT u32 w2c_metal_atomicExchange32(M, u32 p, u32 v) { return __atomic_exchange_n((u32 *)(u64)p, v, __ATOMIC_SEQ_CST); }
IMPORT u32 w2c_metal_atomicCompareExchange32(M, u32 p, u32 expected, u32 v) {
  __atomic_compare_exchange_n((u32 *)(u64)p, &expected, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  return expected;
}

IMPORT u32 w2c_metal_in8(M, u32 p) { u8 v; __asm__ volatile("inb %w1,%0" : "=a"(v) : "Nd"((u16)p)); return v; }
IMPORT u32 w2c_metal_in16(M, u32 p) { u16 v; __asm__ volatile("inw %w1,%0" : "=a"(v) : "Nd"((u16)p)); return v; }
IMPORT u32 w2c_metal_in32(M, u32 p) { u32 v; __asm__ volatile("inl %w1,%0" : "=a"(v) : "Nd"((u16)p)); return v; }
IMPORT void w2c_metal_out8(M, u32 p, u32 v) { __asm__ volatile("outb %0,%w1" :: "a"((u8)v), "Nd"((u16)p)); }
IMPORT void w2c_metal_out16(M, u32 p, u32 v) { __asm__ volatile("outw %0,%w1" :: "a"((u16)v), "Nd"((u16)p)); }
IMPORT void w2c_metal_out32(M, u32 p, u32 v) { __asm__ volatile("outl %0,%w1" :: "a"(v), "Nd"((u16)p)); }

IMPORT u64 w2c_metal_rdmsr(M, u32 i) {
  u32 lo, hi;
  __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(i));
  return (u64)hi << 32 | lo;
}
IMPORT void w2c_metal_wrmsr(M, u32 i, u64 v) {
  __asm__ volatile("wrmsr" :: "c"(i), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}
IMPORT void w2c_metal_cpuid(M, u32 leaf, u32 subleaf, u32 result) {
  u64 *r = (u64 *)(u64)result;
  __asm__ volatile("cpuid" : "=a"(r[0]), "=c"(r[1]), "=d"(r[2]), "=b"(r[3]) : "a"(leaf), "c"(subleaf));
}
IMPORT u64 w2c_metal_readTsc(M) { u32 lo, hi; __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi)); return (u64)hi << 32 | lo; }
IMPORT u64 w2c_metal_readCr2(M) { u64 v; __asm__ volatile("mov %%cr2,%0" : "=r"(v)); return v; }
IMPORT void w2c_metal_wbinvd(M) { __asm__ volatile("wbinvd" ::: "memory"); }
IMPORT void w2c_metal_clearBreakpoints(M) {
  __asm__ volatile("mov %0,%%dr0; mov %0,%%dr1; mov %0,%%dr2; mov %0,%%dr3; mov %1,%%dr6"
    :: "r"(0ull), "r"(0xffff0ff0ull));
}
IMPORT void w2c_metal_pause(M) { __asm__ volatile("pause"); }
IMPORT void w2c_metal_halt(M) { stop(); }
