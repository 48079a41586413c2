import { in8, out8 } from "../metal";

/** Registers of a 16550 UART, as offsets from its base port. */
const enum Uart {
  Data = 0,
  InterruptEnable = 1,
  FifoControl = 2,
  InterruptId = 2,
  LineControl = 3,
  ModemControl = 4,
  LineStatus = 5,
}
const TRANSMITTER_EMPTY: u32 = 1 << 5;
/** Both bits, if the FIFOs work. */
const FIFOS_ENABLED: u32 = 0xc0;
const FIFO_SIZE: u32 = 16;
/** Polls of the line status before a character is given up: an absent or stuck UART must not stop Sheer. */
const TRANSMIT_POLLS: i32 = 100_000;

/** A 16550 UART that is only written. */
export class Transmitter {
  private port: u32 = 0;
  private fifo: u32 = 1;
  /** How many bytes it takes without looking at its state again. */
  private room: u32 = 0;

  /** Sets it up for 115200 8N1. */
  use(port: u32): void {
    out8(port + Uart.InterruptEnable, 0);
    out8(port + Uart.LineControl, 0x80); // divisor latch
    out8(port + Uart.Data, 1);
    out8(port + Uart.InterruptEnable, 0);
    out8(port + Uart.LineControl, 0x03);
    out8(port + Uart.FifoControl, 0xc7);
    out8(port + Uart.ModemControl, 0x03);
    if ((in8(port + Uart.InterruptId) & FIFOS_ENABLED) == FIFOS_ENABLED) this.fifo = FIFO_SIZE;
    this.port = port;
  }

  @inline exists(): bool {
    return this.port != 0;
  }

  /** Whether it takes a byte now. */
  isReady(): bool {
    if (!this.room && in8(this.port + Uart.LineStatus) & TRANSMITTER_EMPTY) this.room = this.fifo;
    return this.room != 0;
  }

  /** To be called when it is ready. */
  send(byte: u32): void {
    this.room--;
    out8(this.port + Uart.Data, byte);
  }

  /** Waits until it takes the byte, or gives it up. */
  sendWaiting(byte: u32): void {
    for (let polls = 0; polls < TRANSMIT_POLLS; polls++) if (this.isReady()) return this.send(byte);
  }
}
