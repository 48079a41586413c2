// The I/O and MSR bitmaps: SDM 3, 25.6.4 and 25.6.9.
import type { PhysicalMemory } from "../memory.ts";
import { Field, Primary, type Vmcs } from "./vmcs.ts";

const PORTS = 0x1_0000;
const HALF = 0x8000;
const WRITES = 0x800;
const HIGH = 0x400;

function bit(memory: PhysicalMemory, bitmap: bigint, index: number): boolean {
  return ((memory.read8(Number(bitmap) + (index >> 3)) >> (index & 7)) & 1) === 1;
}

/** With bitmaps an access exits for any of its bytes, or if it wraps around the end of the ports. */
export function ioExits(vmcs: Vmcs, memory: PhysicalMemory, port: number, width: number): boolean {
  if (!vmcs.controls(Field.ProcessorBased, Primary.IoBitmaps))
    return vmcs.controls(Field.ProcessorBased, Primary.UnconditionalIo);
  if (port + width > PORTS) return true;
  return Array.from({ length: width }, (_, i) => port + i).some((each) =>
    bit(memory, vmcs.get(each < HALF ? Field.IoBitmapA : Field.IoBitmapB), each % HALF),
  );
}

/** Without bitmaps, and outside the two ranges that they cover, every access exits. */
export function msrExits(vmcs: Vmcs, memory: PhysicalMemory, index: number, write: boolean): boolean {
  const range = index < 0x2000 ? 0 : index >= 0xc000_0000 && index < 0xc000_2000 ? HIGH : undefined;
  if (range === undefined || !vmcs.controls(Field.ProcessorBased, Primary.MsrBitmaps)) return true;
  const part = BigInt(range + (write ? WRITES : 0));
  return bit(memory, vmcs.get(Field.MsrBitmaps) + part, index % 0x2000);
}
