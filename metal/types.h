/* The integer names that wasm2c's output uses too, and the layout of Sheer's address space. */
#pragma once
#include "wasm-rt.h"
#define WASM_RT_CORE_TYPES_DEFINED
typedef uint8_t u8;   typedef int8_t s8;
typedef uint16_t u16; typedef int16_t s16;
typedef uint32_t u32; typedef int32_t s32;
typedef uint64_t u64; typedef int64_t s64;
typedef float f32;    typedef double f64;

/* Virtual addresses of the hypervisor:
 *   0                    linear memory of the core; page 0 and all beyond its end up to 8 GiB not present
 *   PHYSICAL + p         physical address p
 *   IMAGE                the program, copied out of the firmware's reach
 *   STACKS               stacks, one area for each processor and each thread: see processors.h and threads.h
 */
#define PHYSICAL 0xffff800000000000ull
#define IMAGE 0xffffffff80000000ull
#define STACKS 0xffffffffc0000000ull

#define PAGE 4096ull
#define BLOCK_SIZE (16ull << 20)
#define LINEAR_SIZE (11ull << 20) /* the core's initial and only memory: see the build program */

#define PRESENT 1ull
#define WRITE 2ull
#define LARGE 0x80ull
#define NO_EXECUTE (1ull << 63)

static inline __attribute__((noreturn)) void stop(void) { for (;;) __asm__ volatile("cli; hlt"); }
