// How often the card interrupts: seldom in bulk, at once for what somebody waits for.
import { describe, expect, it } from "vitest";
import { TRANSMIT } from "../../../machine/driver/layout.ts";
import type { CardModel } from "../../../machine/net/make.ts";
import { ALL_FEATURES, drive, frame, start } from "./setup.ts";

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

describe("a guest that sends", () => {
  function sender() {
    const machine = start(MODEL);
    const driver = drive(machine, MODEL, { features: ALL_FEATURES });
    const { nic, guest, clock } = machine;
    let notified = 0;
    const notify = driver.transport.notify.bind(driver.transport);
    driver.transport.notify = (queue) => {
      if (queue === TRANSMIT) notified++;
      notify(queue);
    };
    const advance = (microseconds: number): void => {
      clock.advance(microseconds * MICROSECOND);
      guest.enableInterrupts();
      driver.transmitQueue.takeUsed();
    };
    /** Sends frames, the next one so many microseconds after each; returns how often it had to notify. */
    const send = (frames: number, apart: number): number => {
      const before = notified;
      for (let i = 0; i < frames; i++) {
        driver.send(frame(1514, i));
        advance(apart);
      }
      return notified - before;
    };
    return { machine, driver, nic, advance, send };
  }

  it("notifies for each frame while there are few", () => {
    const { nic, send } = sender();
    expect(send(20, 500)).toBe(20);
    expect(nic.wire.take()).toHaveLength(20);
  });

  it("notifies for some of many, and each is sent soon though nothing comes in", () => {
    const { nic, advance, send } = sender();
    send(200, 2);
    nic.wire.take();
    expect(send(200, 2)).toBeLessThan(150);
    advance(500);
    expect(nic.wire.take().slice(-200)).toEqual(Array.from({ length: 200 }, (_, i) => frame(1514, i)));
  });

  it("notifies for each again afterwards", () => {
    const { nic, advance, send } = sender();
    send(200, 2);
    advance(5000);
    nic.wire.take();
    expect(send(3, 5000)).toBe(3);
    expect(nic.wire.take()).toHaveLength(3);
  });

  it("notifies before many have gathered, though interrupts never reach it", () => {
    const { machine, driver, nic, advance, send } = sender();
    send(200, 2);
    driver.send(frame(1514, 0));
    nic.wire.take();
    machine.guest.cli();
    for (let i = 0; i < 100; i++) driver.send(frame(1514, i));
    expect(nic.wire.take().length).toBeGreaterThan(90);
    machine.guest.enableInterrupts();
    advance(500);
  });
});
