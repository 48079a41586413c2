/* The few UEFI services that are needed before the core runs (UEFI 2.10, 4.3 and 7.2). */
#pragma once
#include "types.h"

#define EFI_SUCCESS 0ull
#define EFI_OUT_OF_RESOURCES (1ull << 63 | 9)
#define EFI_ABORTED (1ull << 63 | 21)
#define ALLOCATE_MAX_ADDRESS 1
#define EFI_RESERVED_MEMORY_TYPE 0 /* no operating system ever uses it */

typedef struct text_output { u64 (*reset)(struct text_output *, u8); u64 (*output)(struct text_output *, const u16 *); } text_output;
typedef struct {
  u8 header[24];
  u64 (*raise_tpl)(u64);
  void (*restore_tpl)(u64);
  u64 (*allocate_pages)(u32 type, u32 memory_type, u64 pages, u64 *address);
  u64 (*free_pages)(u64 address, u64 pages);
} boot_services;
typedef struct {
  u8 header[24];
  u16 *vendor;
  u32 revision;
  void *in_handle, *in, *out_handle;
  text_output *out;
  void *error_handle, *error, *runtime;
  boot_services *boot;
} system_table;
