import { readTsc } from "../metal";
import { TicketLock } from "../threads/lock";
import { scheduler } from "../threads/scheduler";
import { Thread, ThreadState } from "../threads/thread";
import { Transmitter } from "./uart";

export const enum Level {
  Error,
  Warn,
  Info,
  Debug,
}

const RING_SIZE: u32 = 64 * 1024;

/** Most bytes that the log's thread sends before others have their turn. */
const PIECE: i32 = 256;
/** Cycles of the TSC without the UART taking a byte, after which what waits is dropped: about a second. */
const PATIENCE: u64 = 1 << 31;

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
  /** Bytes that the UART has been sent, or never will be. */
  private sent: u64 = 0;
  private readonly uart: Transmitter = new Transmitter();
  private writer: Thread | null = null;
  /** The carriage return that goes before a line feed is sent. */
  private returned: bool = false;
  /** Since when the UART has not taken a byte from the log's thread; 0 if it has. */
  private waitingSince: u64 = 0;
  private level: Level = Level.Info;
  private open: bool = true;
  /** Held from the beginning of a line to its end. */
  private readonly lock: TicketLock = new TicketLock();

  /** Sets the UART up and writes what the ring already holds. */
  useUart(port: u32): void {
    this.uart.use(port);
    this.flush();
  }

  /** From now on `writer` sends what is in the ring, when it is woken and calls `sendSome`. */
  deferTo(writer: Thread): void {
    this.writer = writer;
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
    const writer = this.writer;
    const deferred = writer !== null && writer.state != ThreadState.Dead && this.sent < this.written;
    if (!deferred) this.sendAll();
    this.lock.release();
    if (deferred) scheduler.wake(changetype<Thread>(changetype<usize>(writer)));
  }

  /** Writes all lines to the UART before it returns: when nobody may come to it later. */
  flush(): void {
    this.lock.acquire();
    this.sendAll();
    this.lock.release();
  }

  /** For the log's thread: sends what the UART takes without waiting. True if something is left. */
  sendSome(): bool {
    this.lock.acquire();
    const before = this.sent;
    for (let piece = PIECE; piece && this.sent < this.written && this.uart.isReady(); piece--) this.sendNext();
    const left = this.sent < this.written;
    if (!left || this.sent != before) this.waitingSince = 0;
    else if (!this.waitingSince) this.waitingSince = readTsc();
    else if (readTsc() - this.waitingSince > PATIENCE) this.sent = this.written;
    this.lock.release();
    return left;
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
    while (this.written - this.sent == RING_SIZE) this.sendNext(); // nothing is overwritten that is not sent
    unchecked((this.ring[(this.written as u32) & (RING_SIZE - 1)] = code as u8));
    this.written++;
  }

  private sendAll(): void {
    while (this.uart.exists() && this.sent < this.written) this.sendNext();
  }
  /** Gives the UART, if there is one, a byte; `sent` goes on with it unless it is a carriage return before a line feed. */
  private sendNext(): void {
    const code = this.byteAt(this.sent);
    this.returned = code == 10 && !this.returned;
    if (!this.returned) this.sent++;
    if (this.uart.exists()) this.uart.sendWaiting(this.returned ? 13 : code);
  }
}

export const log = new Log();
