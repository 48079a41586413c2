/** Width of one access to a device or to memory, in bytes. */
export type Width = 1 | 2 | 4;

/** What a bus that nobody drives reads as. */
export function allOnes(width: Width): number {
  return width === 4 ? 0xffff_ffff : (1 << (width * 8)) - 1;
}

/** The low `width` bytes of a value, unsigned. */
export function truncate(value: number, width: Width): number {
  return width === 4 ? value >>> 0 : value & ((1 << (width * 8)) - 1);
}

/** Bytes of a little-endian value as they lie in memory. */
export function littleEndian(value: bigint, bytes: number): number[] {
  return Array.from({ length: bytes }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
}

export function low32(value: bigint): number {
  return Number(value & 0xffff_ffffn);
}

export function high32(value: bigint): number {
  return Number((value >> 32n) & 0xffff_ffffn);
}

export function join64(low: number, high: number): bigint {
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}

/** Bytes of an ASCII text. */
export function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
