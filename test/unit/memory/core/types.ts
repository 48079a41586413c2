// The core's half of the memory types' tests.
import { memoryTypes } from "../../../../src/memory/types";

export function begin(): void {
  memoryTypes.begin();
}
export function has(index: u32): bool {
  return memoryTypes.has(index);
}
export function set(index: u32, value: u64): void {
  memoryTypes.set(index, value);
}
export function get(index: u32): u64 {
  return memoryTypes.get(index);
}
export function setWriteBackEnd(end: u64): void {
  memoryTypes.writeBackEnd = end;
}
export function reachStart(index: u32): u64 {
  return memoryTypes.reachStart(index);
}
export function reachEnd(index: u32): u64 {
  return memoryTypes.reachEnd(index);
}
/** More than 255 if not all of the page has one type. */
export function typeOf(base: u64, size: u64): u32 {
  return memoryTypes.typeOf(base, size);
}
