// The object runtime: one arena in linear memory, filled at boot and then sealed. Nothing is ever freed; an allocation
// after the seal is a bug of ours and traps. The compiler calls the @global functions by these names.
import { topOfArena } from "../memory/frames";

/** What the compiler expects below each object: mmInfo, gcInfo, gcInfo2, rtId, rtSize (u32 each). */
const HEADER: usize = 20;
const ALIGNMENT: usize = 16;

let next: usize = 0;
let sealed: bool = false;

/** Ends boot: from here on nothing allocates. */
export function sealHeap(): void {
  sealed = true;
}

/** First byte that the arena has not given out. */
export function endOfArena(): usize {
  return next ? next : __heap_base;
}

// @ts-ignore: decorator
@unsafe @global
export function __alloc(size: usize): usize {
  if (sealed) unreachable();
  const start = (endOfArena() + 4 + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
  if (start + size > topOfArena()) unreachable();
  next = start + size;
  memory.fill(start, 0, size);
  return start;
}
// @ts-ignore: decorator
@unsafe @global
export function __realloc(pointer: usize, size: usize): usize {
  unreachable();
  return pointer + size;
}
// @ts-ignore: decorator
@unsafe @global
export function __free(_pointer: usize): void {}
// @ts-ignore: decorator
@unsafe @global
export function __new(size: usize, id: u32): usize {
  const object = __alloc(HEADER - 4 + size) + HEADER - 4;
  store<u32>(object - 8, id);
  store<u32>(object - 4, size as u32);
  return object;
}
// @ts-ignore: decorator
@unsafe @global
export function __renew(old: usize, size: usize): usize {
  return __realloc(old, size);
}
// @ts-ignore: decorator
@unsafe @global
export function __link(_parent: usize, _child: usize, _multiple: bool): void {}
// @ts-ignore: decorator
@unsafe @global
export function __pin(pointer: usize): usize {
  return pointer;
}
// @ts-ignore: decorator
@unsafe @global
export function __unpin(_pointer: usize): void {}
// @ts-ignore: decorator
@unsafe @global
export function __visit(_pointer: usize, _cookie: u32): void {}
// @ts-ignore: decorator
@unsafe @global
export function __collect(): void {}
