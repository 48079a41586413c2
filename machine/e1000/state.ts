import type { PciFunction } from "../pci/function.ts";
import type { Clock } from "../clock.ts";
import type { Faults } from "./faults.ts";
import type { Interrupts } from "./interrupts.ts";
import type { Statistics } from "./statistics.ts";
import type { Wire } from "../net/wire.ts";

/** The card's registers as plain storage, by byte offset. */
export class Registers {
  readonly #words = new Uint32Array(0x2_0000 / 4);

  get(offset: number): number {
    return this.#words[offset >>> 2]!;
  }
  set(offset: number, value: number): void {
    this.#words[offset >>> 2] = value;
  }
  /** Low 32 bits at `offset`, high ones in the register after it. */
  get64(offset: number): number {
    return this.get(offset) + this.get(offset + 4) * 2 ** 32;
  }
  clear(): void {
    this.#words.fill(0);
  }
}

/** What the parts of one card share. */
export interface CardState {
  readonly registers: Registers;
  readonly interrupts: Interrupts;
  readonly statistics: Statistics;
  readonly pci: PciFunction;
  readonly clock: Clock;
  readonly faults: Faults;
  readonly wire: Wire;
}

/** Unit of the receive and transmit timers, in nanoseconds. */
export const TIMER_UNIT = 1024;
