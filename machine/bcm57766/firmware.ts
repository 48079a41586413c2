// The card's own memory and the boot code that works there: the handshake at a reset (5722 guide, "Firmware Mailbox"), the
// arbitration for the NVRAM, and what the boot code leaves for drivers.
import type { Clock } from "../clock.ts";
import type { Faults } from "./faults.ts";
import type { Order } from "./order.ts";
import { MAGIC, Sram } from "./registers.ts";

const GRANT_TIME = 20_000;
/** What marks a MAC address in the mailbox for it ("HK"). */
const MAC_MARK = 0x484b_0000;
const Arbitration = { Request1: 1 << 1, Release1: 1 << 5, Won1: 1 << 9 } as const;

export class BootCode {
  readonly memory = new DataView(new ArrayBuffer(Sram.Size));
  /** Offered to drivers in the card's memory; else they find it in the MAC's registers alone. */
  mailboxMac = true;
  readonly #clock: Clock;
  readonly #order: Order;
  readonly #faults: Faults;
  readonly #mac: readonly number[];
  #window = 0;
  #arbitration = 0;

  constructor(clock: Clock, order: Order, faults: Faults, mac: readonly number[]) {
    this.#clock = clock;
    this.#order = order;
    this.#faults = faults;
    this.#mac = mac;
    this.leave();
  }

  get(address: number): number {
    return this.memory.getUint32(address);
  }
  set(address: number, value: number): void {
    this.memory.setUint32(address, value);
  }

  /** The window onto the memory: its place, and the word there. */
  get window(): number {
    return this.#window;
  }
  setWindow(address: number): void {
    if (address & 3 || address >= Sram.Size) this.#order.violate(`a window at 0x${address.toString(16)}`);
    this.#window = address;
  }
  read(): number {
    if (!this.#order.enabled("MemoryArbiter")) this.#order.violate("the card's memory without its arbiter");
    return this.get(this.#window);
  }
  write(value: number): void {
    if (!this.#order.enabled("MemoryArbiter")) this.#order.violate("the card's memory without its arbiter");
    this.set(this.#window, value);
  }

  get arbitration(): number {
    return this.#arbitration;
  }
  arbitrate(value: number): void {
    if (value & Arbitration.Release1) this.#arbitration &= ~Arbitration.Won1;
    if (!(value & Arbitration.Request1) || this.#faults.arbiterHeld) return;
    this.#clock.after(GRANT_TIME, () => (this.#arbitration |= Arbitration.Won1));
  }
  get mayReset(): boolean {
    return (this.#arbitration & Arbitration.Won1) !== 0 || this.#faults.arbiterHeld;
  }
  /** Without it the boot code takes the PHY through a reset as well. */
  get announced(): boolean {
    return this.get(Sram.FirmwareMailbox) === MAGIC;
  }

  /** The boot code begins after a reset; it answers in the mailbox when it has done its work. */
  start(restore: () => void): void {
    this.#window = this.#arbitration = 0;
    this.#order.booting = true;
    this.#clock.after(this.#faults.bootTime, () => {
      this.#order.booting = false;
      this.leave();
      restore();
      this.set(Sram.FirmwareMailbox, ~MAGIC >>> 0);
    });
  }

  /** What drivers find in the memory. */
  leave(): void {
    const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = this.#mac;
    this.set(Sram.ConfigSignature, MAGIC);
    if (!this.mailboxMac) return;
    this.set(Sram.MacMailbox, MAC_MARK | (a << 8) | b);
    this.set(Sram.MacMailbox + 4, (c << 24) | (d << 16) | (e << 8) | f);
  }
}
