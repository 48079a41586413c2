// Text of settings: ASCII at a pointer, of a length.

export function same(text: usize, length: u32, word: string): bool {
  if (length != (word.length as u32)) return false;
  for (let i: u32 = 0; i < length; i++) {
    if (load<u8>(text + i) != (word.charCodeAt(i) as u8)) return false;
  }
  return true;
}

/** How many bytes come before the first `code`: all of them if there is none. */
export function lengthTo(text: usize, length: u32, code: u32): u32 {
  let at: u32 = 0;
  while (at < length && load<u8>(text + at) != (code as u8)) at++;
  return at;
}

/** A number in decimal or, after 0x, hexadecimal; -1 if it is none or does not fit 31 bits. */
export function number(text: usize, length: u32): i32 {
  const hex = length > 2 && load<u8>(text) == 48 && (load<u8>(text, 1) | 32) == 120;
  const base: i64 = hex ? 16 : 10;
  let value: i64 = 0;
  for (let i: u32 = hex ? 2 : 0; i < length; i++) {
    const digit = digitOf(load<u8>(text + i));
    if (digit >= base || value > 0x7ff_ffff) return -1;
    value = value * base + digit;
  }
  return length ? (value as i32) : -1;
}

function digitOf(code: u32): i64 {
  if (code >= 48 && code <= 57) return code - 48;
  const lower = code | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : 99;
}
