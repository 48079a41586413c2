const ANY: u32 = 42; // *
const ONE: u32 = 63; // ?
const OR: u32 = 124; // |

/** Whether text, in lower case, is what a pattern describes: `*` is any text, `?` any character, `|` parts alternatives. */
export function matches(pattern: usize, patternLength: u32, text: usize, length: u32): bool {
  let start: u32 = 0;
  for (let at: u32 = 0; at <= patternLength; at++) {
    if (at < patternLength && load<u8>(pattern + at) != OR) continue;
    if (matchesOne(pattern + start, at - start, text, length)) return true;
    start = at + 1;
  }
  return false;
}

/** Without alternatives. After a mismatch the last `*` takes one character more. */
function matchesOne(pattern: usize, patternLength: u32, text: usize, length: u32): bool {
  let at: u32 = 0;
  let star: u32 = 0;
  let retry: u32 = 0;
  let starred = false;
  for (let i: u32 = 0; i < length;) {
    const code: u32 = at < patternLength ? load<u8>(pattern + at) : 0;
    if (code == ANY) {
      starred = true;
      star = ++at;
      retry = i;
    } else if (at < patternLength && (code == ONE || lower(code) == (load<u8>(text + i) as u32))) {
      at++;
      i++;
    } else if (starred) {
      at = star;
      i = ++retry;
    } else {
      return false;
    }
  }
  while (at < patternLength && load<u8>(pattern + at) == ANY) at++;
  return at == patternLength;
}

function lower(code: u32): u32 {
  return code >= 65 && code <= 90 ? code | 32 : code;
}
