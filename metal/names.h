/* The core's functions by address, so that a fault can be reported by name. The build program writes the table after a
 * first link and links again: the section comes last, so no code moves. */
#pragma once
#include "types.h"

struct name { u32 address, text; }; /* offset from the image's base; offset of the text behind the table */
extern const u32 names_count;
extern const struct name names[];
extern const char names_text[];

static u32 function_name(u64 address, char *buffer, u32 capacity) {
  u32 found = names_count;
  for (u32 i = 0; i < names_count && names[i].address <= address; i++) found = i;
  if (found == names_count) return 0;
  const char *text = names_text + names[found].text;
  u32 length = 0;
  while (length < capacity && text[length]) { buffer[length] = text[length]; length++; }
  return length;
}
