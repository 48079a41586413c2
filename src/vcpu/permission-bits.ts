/** Sets or clears bit 0 to 7 of a byte in a map of what causes exits. */
export function setBit(byte: usize, bit: u32, on: bool): void {
  const mask: u32 = 1 << bit;
  const old: u32 = load<u8>(byte);
  store<u8>(byte, on ? old | mask : old & ~mask);
}
