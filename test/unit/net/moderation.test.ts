// How often the card interrupts: seldom in bulk, at once for what somebody waits for.
import { describe, expect, it } from "vitest";
import { drive, frame, start } from "./setup.ts";

const MODEL = "82574L";
const MICROSECOND = 1000;
/** ITR counts 256 ns (82574 data sheet, 10.2.4.2). */
const ITR_UNIT = 256;

function boot() {
  const machine = start(MODEL);
  const driver = drive(machine, MODEL);
  driver.offerBuffers(100);
  const { card, guest, clock } = machine;
  const advance = (microseconds: number): void => {
    clock.advance(microseconds * MICROSECOND);
    guest.enableInterrupts();
    driver.takeFrames();
  };
  /** Interrupts of the card while `work` goes on. */
  const interrupts = (work: () => void): number => {
    const before = card.interruptCount;
    work();
    return card.interruptCount - before;
  };
  const interval = (): number => (card.interrupts.itr * ITR_UNIT) / MICROSECOND;
  const bulk = (frames: number): void => {
    for (let i = 0; i < frames; i++) {
      card.wire.inject(frame(1514, i));
      advance(12);
    }
  };
  return { machine, card, advance, interrupts, interval, bulk };
}

describe("the card", () => {
  it("interrupts seldom for frames that come at a gigabit a second, and at once again when there is little", () => {
    const { card, advance, interrupts, interval, bulk } = boot();
    bulk(100);
    expect(interval()).toBeGreaterThan(100);
    advance(5000);
    const few = (): void => {
      for (let i = 0; i < 20; i++) {
        card.wire.inject(frame(60, i));
        advance(100);
      }
    };
    few();
    expect(interval()).toBeLessThanOrEqual(25);
    expect(interrupts(few)).toBe(20);
  });
});
