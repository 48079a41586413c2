/* What wasm2c's output and clang call: one memory at virtual 0, one table, the memory functions. */
#pragma once
#include "types.h"

void wasm_rt_allocate_memory(wasm_rt_memory_t *m, u64 initial, u64 max, bool is64, u32 page_size) {
  *m = (wasm_rt_memory_t){.data = 0, .pages = initial, .max_pages = initial, .size = initial << 16, .is64 = is64};
}
u64 wasm_rt_grow_memory(wasm_rt_memory_t *m, u64 pages) { return (u32)-1; }
void wasm_rt_free_memory(wasm_rt_memory_t *m) {}

#define TABLE_SIZE 512
static wasm_rt_funcref_t function_table[TABLE_SIZE];
void wasm_rt_allocate_funcref_table(wasm_rt_funcref_table_t *t, u32 n, u32 max) {
  if (n > TABLE_SIZE) wasm_rt_trap(WASM_RT_TRAP_EXHAUSTION);
  *t = (wasm_rt_funcref_table_t){function_table, n, n};
}
void wasm_rt_free_funcref_table(wasm_rt_funcref_table_t *t) {}

__attribute__((used)) void *memcpy(void *d, const void *s, size_t n) {
  void *r = d;
  u64 words = n >> 3, rest = n & 7;
  __asm__ volatile("rep movsq; mov %3,%%rcx; rep movsb" : "+D"(d), "+S"(s), "+c"(words) : "r"(rest) : "memory");
  return r;
}
__attribute__((used)) void *memset(void *d, int c, size_t n) {
  void *r = d;
  u64 words = n >> 3, rest = n & 7;
  __asm__ volatile("rep stosq; mov %3,%%rcx; rep stosb"
    : "+D"(d), "+c"(words) : "a"((u8)c * 0x0101010101010101ull), "r"(rest) : "memory");
  return r;
}
__attribute__((used)) void *memmove(void *d, const void *s, size_t n) {
  if ((u64)d - (u64)s >= n) return memcpy(d, s, n);
  void *to = (u8 *)d + n - 1;
  const void *from = (const u8 *)s + n - 1;
  __asm__ volatile("std; rep movsb; cld" : "+D"(to), "+S"(from), "+c"(n) :: "memory");
  return d;
}
__attribute__((used)) int memcmp(const void *a, const void *b, size_t n) {
  const u8 *x = a, *y = b;
  for (; n; n--, x++, y++) if (*x != *y) return *x - *y;
  return 0;
}
