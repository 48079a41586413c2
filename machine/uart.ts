// A 16550A serial port: National Semiconductor PC16550D data sheet. It sends at once and captures what was sent.
import type { PortDevice } from "./ports.ts";
import type { Width } from "./bits.ts";

const Register = { Data: 0, InterruptEnable: 1, Fifo: 2, LineControl: 3, ModemControl: 4, LineStatus: 5 } as const;
const DIVISOR_LATCH = 0x80;
const TRANSMITTER_EMPTY = 0x60;
const FIFOS_ENABLED = 0xc0;
const NO_INTERRUPT = 1;

export class Uart implements PortDevice {
  /** Everything sent so far. */
  text = "";
  /** A transmitter that never becomes empty, to see that nobody waits for it for ever. */
  stuck = false;
  divisor = 0;
  readonly #registers = new Uint8Array(8);

  readPort(offset: number): number {
    switch (offset) {
      case Register.Data:
        return this.#latched() ? this.divisor & 0xff : 0;
      case Register.InterruptEnable:
        return this.#latched() ? this.divisor >> 8 : this.#registers[offset]!;
      case Register.Fifo:
        return NO_INTERRUPT | (this.#registers[Register.Fifo]! & 1 ? FIFOS_ENABLED : 0);
      case Register.LineStatus:
        return this.stuck ? 0 : TRANSMITTER_EMPTY;
      default:
        return this.#registers[offset]!;
    }
  }

  writePort(offset: number, _width: Width, value: number): void {
    const byte = value & 0xff;
    if (this.#latched() && offset === Register.Data) this.divisor = (this.divisor & 0xff00) | byte;
    else if (this.#latched() && offset === Register.InterruptEnable) this.divisor = (this.divisor & 0xff) | (byte << 8);
    else if (offset === Register.Data) this.text += String.fromCharCode(byte);
    else this.#registers[offset] = byte;
  }

  #latched(): boolean {
    return (this.#registers[Register.LineControl]! & DIVISOR_LATCH) !== 0;
  }
}
