import { Level, log } from "../log/log";

/** Who has the network card. */
export const enum NetMode {
  Virtio,
  Pass,
}

/** What the network card's MSI carries. */
export const enum NetInterrupts {
  /** A vector of Sheer's own, which is translated. */
  Private,
  /** The message that the guest wrote for frames received. */
  Guest,
}

const SPACE: u32 = 32;
const HASH: u32 = 35;
const EQUALS: u32 = 61;

/** Sheer's settings: `key=value` words, from the settings file and then the command line, which wins. */
class Settings {
  /** I/O port of the log's UART, 0 for none. */
  logPort: u32 = 0;
  logLevel: Level = Level.Info;
  net: NetMode = NetMode.Virtio;
  netInterrupts: NetInterrupts = NetInterrupts.Private;
  stealth: bool = false;
  /** Whether sheer.efi reports failure on success, so that the boot manager goes on with the next entry. */
  thenNext: bool = false;
  /** Whether Sheer's threads run on one processor at a time. */
  oneProcessor: bool = false;

  /** Takes the settings in ASCII text; `#` starts a comment. What is not understood is named in the log and changes nothing. */
  parse(text: usize, length: u32): void {
    let at: u32 = 0;
    while (at < length) {
      const first: u32 = load<u8>(text + at);
      if (first <= SPACE) {
        at++;
      } else if (first == HASH) {
        while (at < length && load<u8>(text + at) != 10) at++;
      } else {
        const start = at;
        while (at < length && load<u8>(text + at) > SPACE) at++;
        if (!this.take(text + start, at - start)) {
          log
            .warn("setting not understood, ignored: ")
            .ascii(text + start, at - start)
            .end();
        }
      }
    }
  }

  private take(word: usize, length: u32): bool {
    let equals: u32 = 0;
    while (equals < length && load<u8>(word + equals) != EQUALS) equals++;
    if (equals == length) return false;
    const value = word + equals + 1;
    const size = length - equals - 1;
    if (same(word, equals, "log")) return this.takeLog(value, size);
    if (same(word, equals, "log.level")) return this.takeLevel(value, size);
    if (same(word, equals, "net")) {
      if (same(value, size, "virtio")) this.net = NetMode.Virtio;
      else if (same(value, size, "pass")) this.net = NetMode.Pass;
      else return false;
      return true;
    }
    if (same(word, equals, "net.interrupts")) {
      if (same(value, size, "private")) this.netInterrupts = NetInterrupts.Private;
      else if (same(value, size, "guest")) this.netInterrupts = NetInterrupts.Guest;
      else return false;
      return true;
    }
    if (same(word, equals, "stealth")) {
      if (same(value, size, "on")) this.stealth = true;
      else if (same(value, size, "off")) this.stealth = false;
      else return false;
      return true;
    }
    if (same(word, equals, "threads.oneProcessor")) {
      if (same(value, size, "on")) this.oneProcessor = true;
      else if (same(value, size, "off")) this.oneProcessor = false;
      else return false;
      return true;
    }
    if (same(word, equals, "then")) {
      if (same(value, size, "next")) this.thenNext = true;
      else if (same(value, size, "return")) this.thenNext = false;
      else return false;
      return true;
    }
    return false;
  }

  private takeLog(value: usize, size: u32): bool {
    if (same(value, size, "off")) {
      this.logPort = 0;
      return true;
    }
    const port = number(value, size);
    if (port <= 0 || port > 0xfff8) return false;
    this.logPort = port as u32;
    return true;
  }

  private takeLevel(value: usize, size: u32): bool {
    if (same(value, size, "error")) this.logLevel = Level.Error;
    else if (same(value, size, "warn")) this.logLevel = Level.Warn;
    else if (same(value, size, "info")) this.logLevel = Level.Info;
    else if (same(value, size, "debug")) this.logLevel = Level.Debug;
    else return false;
    return true;
  }
}

function same(text: usize, length: u32, word: string): bool {
  if (length != (word.length as u32)) return false;
  for (let i: u32 = 0; i < length; i++) {
    if (load<u8>(text + i) != (word.charCodeAt(i) as u8)) return false;
  }
  return true;
}

/** A number in decimal or, after 0x, hexadecimal; -1 if it is none or does not fit 31 bits. */
function number(text: usize, length: u32): i32 {
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

export const settings = new Settings();
