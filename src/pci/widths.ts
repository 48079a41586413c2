import {
  in16,
  in32,
  in8,
  out16,
  out32,
  out8,
  physRead16,
  physRead32,
  physRead8,
  physWrite16,
  physWrite32,
  physWrite8,
} from "../metal";

// Accesses to the machine at a width of 1, 2 or 4 bytes that is known only at run time.

export function readPort(port: u32, width: u32): u32 {
  if (width == 4) return in32(port);
  return width == 2 ? in16(port) : in8(port);
}

export function writePort(port: u32, width: u32, value: u32): void {
  if (width == 4) out32(port, value);
  else if (width == 2) out16(port, value);
  else out8(port, value);
}

export function readMemory(address: u64, width: u32): u32 {
  if (width == 4) return physRead32(address);
  return width == 2 ? physRead16(address) : physRead8(address);
}

export function writeMemory(address: u64, width: u32, value: u32): void {
  if (width == 4) physWrite32(address, value);
  else if (width == 2) physWrite16(address, value);
  else physWrite8(address, value);
}

/** The bits that a value of `width` bytes has. */
export function widthMask(width: u32): u32 {
  return 0xffff_ffff >> (32 - (width << 3));
}
