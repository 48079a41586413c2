/** Something that happens at a point of simulated time. */
export interface Timer {
  readonly at: number;
  readonly run: () => void;
}

/**
 * Simulated time in nanoseconds. It stands still but for what `advance` is told: every access to a device costs a
 * little, a spin-loop hint costs a little, and tests move it as they like. So every run is the same.
 */
export class Clock {
  now = 0;
  #timers: Timer[] = [];

  /** Lets time pass and runs what falls due, in order. */
  advance(nanoseconds: number): void {
    const until = this.now + nanoseconds;
    for (let due = this.#due(until); due; due = this.#due(until)) {
      this.cancel(due);
      this.now = Math.max(this.now, due.at);
      due.run();
    }
    this.now = Math.max(this.now, until);
  }

  after(nanoseconds: number, run: () => void): Timer {
    const timer = { at: this.now + nanoseconds, run };
    this.#timers.push(timer);
    return timer;
  }

  cancel(timer: Timer | undefined): void {
    if (timer) this.#timers = this.#timers.filter((other) => other !== timer);
  }

  #due(until: number): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.#timers) if (timer.at <= until && (!first || timer.at < first.at)) first = timer;
    return first;
  }
}
