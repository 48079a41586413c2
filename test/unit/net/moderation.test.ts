// How often the card interrupts: seldom in bulk, at once for what somebody waits for.
import { describe, expect, it } from "vitest";
import type { CardModel } from "../../../machine/net/make.ts";
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

  it("interrupts twice as often at most after one interrupt that served little", () => {
    const { card, advance, interval, bulk } = boot();
    bulk(100);
    advance(5000);
    const before = interval();
    expect(before).toBeGreaterThan(100);
    card.wire.inject(frame(60));
    advance(5000);
    expect(interval()).toBeGreaterThan(before / 2 - 1);
  });
});

describe("what the card has received while it may not interrupt", () => {
  /** Frames that the guest finds after two have come and it has sent one, then and 30 us later. */
  const found = (model: CardModel): number[] => {
    const machine = start(model);
    const driver = drive(machine, model);
    driver.offerBuffers(10);
    const { card, guest, clock } = machine;
    card.wire.inject(frame(60, 1));
    guest.enableInterrupts();
    card.wire.inject(frame(60, 2));
    driver.send(frame(60, 3));
    const atOnce = driver.receiveQueue.deviceIndex;
    clock.advance(30 * MICROSECOND);
    guest.enableInterrupts();
    return [atOnce, driver.receiveQueue.deviceIndex];
  };

  it("is left to its interrupt when the guest sends", () => {
    expect(found("82574L")).toEqual([1, 2]);
  });

  it("is found when a guest sends that has no MSI-X and may be polling", () => {
    expect(found("82540EM")).toEqual([2, 2]);
  });
});
