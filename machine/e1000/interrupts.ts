// Interrupt causes, masks and moderation: 8254x manual, 13.4.17 and following; 82574 data sheet, 7.4 and 10.2.4.
import type { Clock, Timer } from "../clock.ts";
import type { Faults } from "./faults.ts";
import { Icr } from "./registers.ts";

/** How the card tells the machine. */
export interface InterruptOutput {
  /** The card uses messages, not its INTx pin. */
  readonly messages: boolean;
  sendMessage(causes: number): void;
  setPin(asserted: boolean): void;
}

const ITR_UNIT = 256;

export class Interrupts {
  ims = 0;
  /** Auto-mask: causes masked by a read of ICR; the 82574 applies it if CTRL_EXT.IAME is set. */
  iam = 0;
  autoMask = false;
  /** Least time between two interrupts, in units of 256 ns; 0 for none. */
  itr = 0;
  #icr = 0;
  /** Causes that the machine has been told of by a message and that were not yet acknowledged. */
  #told = 0;
  #quietUntil = 0;
  #postponed: Timer | undefined;
  readonly #clock: Clock;
  readonly #output: InterruptOutput;
  readonly #faults: Faults;

  constructor(clock: Clock, output: InterruptOutput, faults: Faults) {
    this.#clock = clock;
    this.#output = output;
    this.#faults = faults;
  }

  reset(): void {
    this.ims = this.iam = this.itr = this.#icr = this.#told = this.#quietUntil = 0;
    this.autoMask = false;
    this.#clock.cancel(this.#postponed);
    this.#postponed = undefined;
    this.#output.setPin(false);
  }

  raise(causes: number): void {
    this.#icr = (this.#icr | causes) >>> 0;
    this.#update();
  }

  /** An interrupt that no cause stands behind. */
  spurious(): void {
    if (this.#output.messages) this.#output.sendMessage(0);
    else {
      this.#output.setPin(true);
      this.#output.setPin(this.#pending() !== 0);
    }
  }

  /** Causes without side effects. */
  get causes(): number {
    return (this.#icr | (this.#pending() ? Icr.Asserted : 0)) >>> 0;
  }

  /** The guest reads ICR: all causes are acknowledged. */
  read(): number {
    const value = this.causes;
    if (this.#faults.icrSticks) return value;
    this.#icr = this.#told = 0;
    if (this.autoMask && value & Icr.Asserted) this.ims &= ~this.iam;
    this.#update();
    return value;
  }

  /** Writing ones to ICR acknowledges those causes. */
  acknowledge(causes: number): void {
    this.#icr &= ~causes;
    this.#told &= ~causes;
    this.#update();
  }

  unmask(causes: number): void {
    this.ims = (this.ims | (causes & ~Icr.Asserted)) >>> 0;
    this.#update();
  }

  mask(causes: number): void {
    this.ims = (this.ims & ~causes) >>> 0;
    this.#told &= this.ims;
    this.#update();
  }

  /** The way of telling has changed: what is pending is told anew. */
  outputChanged(): void {
    this.#told = 0;
    if (this.#output.messages) this.#output.setPin(false);
    this.#update();
  }

  #pending(): number {
    return this.#icr & this.ims & ~Icr.Asserted;
  }

  #update(): void {
    const pending = this.#pending();
    if (!this.#output.messages && pending === 0) this.#output.setPin(false);
    const fresh = pending & ~this.#told;
    if (!fresh || this.#postponed) return;
    const wait = this.#quietUntil - this.#clock.now;
    if (wait > 0) this.#postponed = this.#clock.after(wait, () => this.#retry());
    else this.#tell(fresh);
  }

  #retry(): void {
    this.#postponed = undefined;
    this.#update();
  }

  #tell(fresh: number): void {
    this.#told |= fresh;
    this.#quietUntil = this.#clock.now + this.itr * ITR_UNIT;
    if (this.#output.messages) this.#output.sendMessage(fresh);
    else this.#output.setPin(true);
  }
}
