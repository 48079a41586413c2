// The I/O APIC: Intel 82093AA data sheet.
import type { MmioDevice } from "./memory.ts";
import type { Width } from "./bits.ts";
import { MESSAGE_SPACE } from "./apic.ts";

export const IOAPIC_BASE = 0xfec0_0000;
const INPUTS = 24;
const Window = { Select: 0x00, Data: 0x10 } as const;
const Index = { Id: 0, Version: 1, Redirection: 0x10 } as const;
const REMOTE_IRR = 1 << 14;
const LEVEL = 1 << 15;
const MASKED = 1 << 16;
const READ_ONLY = REMOTE_IRR | (1 << 12);

interface Entry {
  low: number;
  high: number;
  /** The input is asserted now. */
  input: boolean;
}

export class IoApic implements MmioDevice {
  #select = 0;
  readonly #entries: Entry[] = Array.from({ length: INPUTS }, () => ({ low: MASKED, high: 0, input: false }));
  readonly #send: (address: number, data: number) => void;

  constructor(send: (address: number, data: number) => void) {
    this.#send = send;
  }

  /** An interrupt line changes. */
  set(input: number, asserted: boolean): void {
    const entry = this.#entries[input]!;
    const rises = asserted && !entry.input;
    entry.input = asserted;
    if (entry.low & LEVEL || rises) this.#deliver(entry);
  }

  /** A local APIC has retired a level-triggered vector. */
  endOfInterrupt(vector: number): void {
    for (const entry of this.#entries) {
      if ((entry.low & 0xff) !== vector || !(entry.low & LEVEL)) continue;
      entry.low &= ~REMOTE_IRR;
      this.#deliver(entry);
    }
  }

  readMmio(offset: number): number {
    if (offset === Window.Select) return this.#select;
    if (offset !== Window.Data) return 0;
    if (this.#select === Index.Version) return 0x20 | ((INPUTS - 1) << 16);
    const entry = this.#entries[(this.#select - Index.Redirection) >> 1];
    if (!entry) return 0;
    return this.#select & 1 ? entry.high : entry.low;
  }

  writeMmio(offset: number, _width: Width, value: number): void {
    if (offset === Window.Select) this.#select = value & 0xff;
    if (offset !== Window.Data) return;
    const entry = this.#entries[(this.#select - Index.Redirection) >> 1];
    if (!entry) return;
    if (this.#select & 1) entry.high = (value & 0xff00_0000) >>> 0;
    else {
      entry.low = (value & 0x1_ffff & ~READ_ONLY) | (entry.low & READ_ONLY);
      if (entry.low & LEVEL) this.#deliver(entry);
    }
  }

  /** Sends the entry's message if its input asks for it and it may be sent. */
  #deliver(entry: Entry): void {
    if (entry.low & MASKED || !entry.input) return;
    const level = (entry.low & LEVEL) !== 0;
    if (level && entry.low & REMOTE_IRR) return;
    if (level) entry.low |= REMOTE_IRR;
    const logical = entry.low & 0x800 ? 4 : 0;
    this.#send(MESSAGE_SPACE.base | ((entry.high >>> 24) << 12) | logical, (entry.low & 0x7ff) | (level ? 0xc000 : 0));
  }
}
