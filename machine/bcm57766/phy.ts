// The PHY behind the MII communication register: IEEE 802.3 clause 22, and the auxiliary status register 19h.
import type { Clock } from "../clock.ts";
import type { Order } from "./order.ts";

const COMMAND = { Write: 1, Read: 2 } as const;
const READ_FAILED = 1 << 28;
const BUSY = 1 << 29;
const PHY_ADDRESS = 1;
/** A frame of 64 bits at 2.5 MHz. */
const ACCESS_TIME = 25_600;
const Mii = { Control: 0, Status: 1, Advertise: 4, Control1000: 9, Auxiliary: 0x19 } as const;
const Control = {
  Reset: 1 << 15,
  Autonegotiate: 1 << 12,
  PowerDown: 1 << 11,
  Isolate: 1 << 10,
  Restart: 1 << 9,
} as const;
const STATUS_LINK = 1 << 2;
const STATUS_DONE = 1 << 5;
export type Speed = 10 | 100 | 1000;
/** Speed and duplex in the auxiliary status register. */
const RESULT: Readonly<Record<Speed, number>> = { 10: 0x0200, 100: 0x0500, 1000: 0x0700 };

export class Phy {
  /** What the other end of the cable can do, if there is one. */
  partner: Speed | undefined = 1000;
  linkUp = false;
  onLink: () => void = () => undefined;
  readonly #clock: Clock;
  readonly #order: Order;
  readonly #registers = new Uint16Array(32);
  readonly #linkTime: number;
  /** A loss of link is shown once, though it may be back. */
  #lost = true;
  #communication = 0;

  constructor(clock: Clock, order: Order, linkTime: number) {
    this.#clock = clock;
    this.#order = order;
    this.#linkTime = linkTime;
    this.#registers.set([Control.Autonegotiate, 0x7949, 0x5c0d, 0x8a40, 0x0de1]);
    this.#registers[Mii.Control1000] = 0x0200;
    this.negotiate();
  }

  get communication(): number {
    return this.#communication;
  }

  /** The cable's other end changes: the link falls, and comes up again if there is something. */
  connect(partner: Speed | undefined): void {
    this.partner = partner;
    this.#set(false);
    this.negotiate();
  }

  /** As firmware may leave it. */
  powerDown(): void {
    this.#registers[Mii.Control] = Control.PowerDown;
    this.#set(false);
  }

  negotiate(): void {
    this.#clock.after(this.#linkTime, () => this.#set(this.partner !== undefined && this.#able));
  }

  get #able(): boolean {
    const control = this.#registers[Mii.Control]!;
    return (control & Control.Autonegotiate) !== 0 && !(control & (Control.PowerDown | Control.Isolate));
  }

  #set(up: boolean): void {
    if (up === this.linkUp) return;
    this.linkUp = up;
    if (!up) this.#lost = true;
    this.onLink();
  }

  /** A write to the communication register. */
  access(command: number): void {
    if (this.#communication & BUSY) this.#order.violate("a PHY access during another");
    if (!(command & BUSY)) return;
    const operation = (command >>> 26) & 3;
    if (((command >>> 21) & 31) !== PHY_ADDRESS) this.#order.violate("an access to a PHY that is not there");
    this.#communication = (command | BUSY) >>> 0;
    this.#clock.after(ACCESS_TIME, () => {
      const register = (command >>> 16) & 31;
      if (operation === COMMAND.Write) this.#write(register, command & 0xffff);
      const value = operation === COMMAND.Read ? this.#read(register) : command & 0xffff;
      this.#communication = ((command & ~(BUSY | READ_FAILED | 0xffff)) | value) >>> 0;
    });
  }

  #read(register: number): number {
    if (register === Mii.Auxiliary) return this.linkUp ? 0x8000 | RESULT[this.partner!] : 0;
    if (register !== Mii.Status) return this.#registers[register]!;
    const up = this.linkUp && !this.#lost;
    this.#lost = !this.linkUp;
    return this.#registers[Mii.Status]! | (up ? STATUS_LINK : 0) | (this.linkUp ? STATUS_DONE : 0);
  }

  #write(register: number, value: number): void {
    if (register === Mii.Control && value & Control.Reset) this.#order.violate("a reset of the PHY");
    this.#registers[register] = value & ~(register === Mii.Control ? Control.Restart : 0);
    if (register === Mii.Control && value & Control.Restart) {
      this.#set(false);
      this.negotiate();
    }
  }
}
