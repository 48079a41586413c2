// The delay of an interrupt by two timers (82574 data sheet, 7.4.4): one starts again with each event, the other with the
// first and bounds the wait. RDTR and RADV for frames received, TIDV and TADV for frames sent.
import type { Timer } from "../clock.ts";
import { type CardState, TIMER_UNIT } from "./state.ts";

export class DelayedInterrupt {
  readonly #card: CardState;
  readonly #causes: number;
  readonly #delayRegister: number;
  readonly #limitRegister: number;
  #delayed: Timer | undefined;
  #deadline: Timer | undefined;

  constructor(card: CardState, causes: number, delayRegister: number, limitRegister: number) {
    this.#card = card;
    this.#causes = causes;
    this.#delayRegister = delayRegister;
    this.#limitRegister = limitRegister;
  }

  /** An event: interrupts now if it is not to be delayed or the delay is set to 0, else later. */
  request(delayable = true): void {
    const { registers, interrupts, clock } = this.#card;
    const delay = registers.get(this.#delayRegister) & 0xffff;
    const limit = registers.get(this.#limitRegister) & 0xffff;
    if (!delayable || !delay) {
      interrupts.raise(this.#causes);
      return;
    }
    clock.cancel(this.#delayed);
    this.#delayed = clock.after(delay * TIMER_UNIT, () => this.#expire());
    if (limit) this.#deadline ??= clock.after(limit * TIMER_UNIT, () => this.#expire());
  }

  /** What waits interrupts now. */
  flush(): void {
    if (this.#delayed || this.#deadline) this.#expire();
  }

  cancel(): void {
    this.#card.clock.cancel(this.#delayed);
    this.#card.clock.cancel(this.#deadline);
    this.#delayed = this.#deadline = undefined;
  }

  #expire(): void {
    this.cancel();
    this.#card.interrupts.raise(this.#causes);
  }
}
