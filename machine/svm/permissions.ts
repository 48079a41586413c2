// The permission maps: APM 2, 15.10.1 (I/O) and 15.11 (MSRs).
import type { PhysicalMemory } from "../memory.ts";

/** Whether an access to any of the bytes of a port range exits. */
export function ioExits(memory: PhysicalMemory, iopm: number, port: number, width: number): boolean {
  for (let byte = port; byte < port + width; byte++) {
    if ((memory.read8(iopm + (byte >> 3)) >> (byte & 7)) & 1) return true;
  }
  return false;
}

/** Ranges that the map covers, each 2 KiB of it; any other register exits. */
const RANGES = [0, 0xc000_0000, 0xc001_0000];

export function msrExits(memory: PhysicalMemory, msrpm: number, index: number, write: boolean): boolean {
  const range = RANGES.findIndex((first) => index >= first && index < first + 0x2000);
  if (range < 0) return true;
  const bit = 2 * (index - RANGES[range]!) + (write ? 1 : 0);
  return ((memory.read8(msrpm + range * 0x800 + (bit >> 3)) >> (bit & 7)) & 1) === 1;
}
