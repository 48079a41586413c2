import { in8, out8 } from "../metal";
import { TicketLock } from "../threads/lock";

export const enum Level {
  Error,
  Warn,
  Info,
  Debug,
}

const RING_SIZE: u32 = 64 * 1024;

/** Registers of a 16550 UART, as offsets from its base port. */
const enum Uart {
  Data = 0,
  InterruptEnable = 1,
  FifoControl = 2,
  LineControl = 3,
  ModemControl = 4,
  LineStatus = 5,
}
const TRANSMITTER_EMPTY: u32 = 1 << 5;
/** Polls of the line status before a character is given up: an absent or stuck UART must not stop Sheer. */
const TRANSMIT_POLLS: i32 = 100_000;

/**
 * The log: a ring of 64 KiB that is always kept and a UART that is written if set. A line is built by calls on the
 * value that `error`, `warn`, `info` and `debug` return, and ends with `end()`; until then other processors wait:
 *
 *     log.info("network card at ").hex(address).end();
 */
export class Log {
  private readonly ring: StaticArray<u8> = new StaticArray<u8>(RING_SIZE);
  /** Bytes ever written; the ring holds the last RING_SIZE of them. */
  private written: u64 = 0;
  private uart: u32 = 0;
  private level: Level = Level.Info;
  private open: bool = true;
  /** Held from the beginning of a line to its end. */
  private readonly lock: TicketLock = new TicketLock();

  /** Sets the UART up for 115200 8N1 and writes what the ring already holds. */
  useUart(port: u32): void {
    out8(port + Uart.InterruptEnable, 0);
    out8(port + Uart.LineControl, 0x80); // divisor latch
    out8(port + Uart.Data, 1);
    out8(port + Uart.InterruptEnable, 0);
    out8(port + Uart.LineControl, 0x03);
    out8(port + Uart.FifoControl, 0xc7);
    out8(port + Uart.ModemControl, 0x03);
    this.uart = port;
    for (let at = this.oldest(); at < this.written; at++) this.transmit(this.byteAt(at));
  }

  setLevel(level: Level): void {
    this.level = level;
  }

  error(text: string): Log {
    return this.begin(Level.Error).text("error: ").text(text);
  }
  warn(text: string): Log {
    return this.begin(Level.Warn).text("warning: ").text(text);
  }
  info(text: string): Log {
    return this.begin(Level.Info).text(text);
  }
  debug(text: string): Log {
    return this.begin(Level.Debug).text(text);
  }

  text(text: string): Log {
    const start = changetype<usize>(text);
    for (let i: usize = 0, length = text.length as usize; i < length; i++) this.put(load<u16>(start + (i << 1)));
    return this;
  }
  /** Bytes of linear memory as ASCII. */
  ascii(start: usize, length: u32): Log {
    for (let i: u32 = 0; i < length; i++) this.put(load<u8>(start + i));
    return this;
  }
  char(code: u32): Log {
    this.put(code);
    return this;
  }
  hex(value: u64, digits: i32 = 0): Log {
    this.text("0x");
    return this.hexDigits(value, digits);
  }
  hexDigits(value: u64, digits: i32 = 0): Log {
    let shown = max(digits, 1);
    while (shown < 16 && value >> ((shown as u64) << 2)) shown++;
    for (let shift = (shown - 1) << 2; shift >= 0; shift -= 4) {
      const digit = ((value >> (shift as u64)) as u32) & 15;
      this.put(digit < 10 ? 48 + digit : 87 + digit);
    }
    return this;
  }
  dec(value: u64): Log {
    if (value >= 10) this.dec(value / 10);
    this.put(48 + ((value % 10) as u32));
    return this;
  }
  end(): void {
    this.put(10);
    this.lock.release();
  }

  /** Sequence number of the oldest byte that is still in the ring. */
  oldest(): u64 {
    return this.written > RING_SIZE ? this.written - RING_SIZE : 0;
  }
  /** Sequence number of the byte that will be written next. */
  next(): u64 {
    return this.written;
  }
  byteAt(sequence: u64): u32 {
    return unchecked(this.ring[(sequence as u32) & (RING_SIZE - 1)]);
  }

  private begin(level: Level): Log {
    this.lock.acquire();
    this.open = level <= this.level;
    return this.text("sheer: ");
  }
  private put(code: u32): void {
    if (!this.open) return;
    unchecked((this.ring[(this.written as u32) & (RING_SIZE - 1)] = code as u8));
    this.written++;
    if (this.uart) this.transmit(code);
  }
  private transmit(code: u32): void {
    if (code == 10) this.transmit(13);
    for (let polls = 0; polls < TRANSMIT_POLLS; polls++) {
      if (in8(this.uart + Uart.LineStatus) & TRANSMITTER_EMPTY) {
        out8(this.uart + Uart.Data, code);
        return;
      }
    }
  }
}

export const log = new Log();
