import { beforeEach, describe, expect, test } from "vitest";
import { Apic, LocalApic } from "../../../machine/apic.ts";
import { Clock } from "../../../machine/clock.ts";

let clock: Clock;
let apic: LocalApic;

beforeEach(() => {
  clock = new Clock();
  apic = new LocalApic(clock);
});

const write = (register: number, value: number): void => apic.writeMmio(register, 4, value);
const read = (register: number): number => apic.readMmio(register);

describe("priorities", () => {
  test("the highest vector comes first, and holds back its class and those below", () => {
    apic.accept(0x41);
    apic.accept(0x61);
    expect(apic.acknowledge()).toBe(0x61);
    expect(read(Apic.Ppr)).toBe(0x60);
    apic.accept(0x6f);
    expect(apic.pending()).toBe(-1);
    apic.accept(0x71);
    expect(apic.acknowledge()).toBe(0x71);
    write(Apic.Eoi, 0);
    write(Apic.Eoi, 0);
    expect(apic.acknowledge()).toBe(0x6f);
  });

  test("the task priority holds back its class and those below", () => {
    write(Apic.Tpr, 0x40);
    apic.accept(0x4f);
    expect(apic.pending()).toBe(-1);
    apic.accept(0x50);
    expect(apic.pending()).toBe(0x50);
  });

  test("IRR and ISR show where a vector is", () => {
    apic.accept(0x93);
    expect(read(Apic.Irr + 0x40)).toBe(1 << 0x13);
    apic.acknowledge();
    expect(read(Apic.Irr + 0x40)).toBe(0);
    expect(read(Apic.Isr + 0x40)).toBe(1 << 0x13);
    write(Apic.Eoi, 0);
    expect(read(Apic.Isr + 0x40)).toBe(0);
  });
});

describe("messages", () => {
  test("are for the processor they name", () => {
    expect(apic.message(0xfee0_0000, 0x4055)).toBe(true);
    expect(apic.message(0xfee0_1000, 0x4056)).toBe(false);
    expect(apic.message(0xfeef_f000, 0x4057)).toBe(true);
    expect(apic.acknowledge()).toBe(0x57);
  });

  test("in logical mode by the destination register", () => {
    write(Apic.Ldr, 0x0200_0000);
    expect(apic.message(0xfee0_2004, 0x55)).toBe(true);
    expect(apic.message(0xfee0_4004, 0x56)).toBe(false);
  });

  test.each([0x10, 0x13, 0x1f])("take the private vector %i", (vector) => {
    apic.message(0xfee0_0000, vector);
    expect(apic.acknowledge()).toBe(vector);
  });

  test("with a vector below 16 are errors", () => {
    apic.message(0xfee0_0000, 0x0f);
    expect(apic.pending()).toBe(-1);
    write(Apic.Esr, 0);
    expect(read(Apic.Esr)).toBe(0x40);
  });

  test("are lost while the APIC is disabled", () => {
    write(Apic.Svr, 0xff);
    apic.message(0xfee0_0000, 0x55);
    expect(apic.irr.highest()).toBe(-1);
  });

  test("of type NMI wait as such", () => {
    apic.message(0xfee0_0000, 0x400);
    expect(apic.nmi).toBe(true);
    expect(apic.pending()).toBe(-1);
  });
});

describe("interprocessor interrupts", () => {
  test("to oneself arrive", () => {
    write(Apic.IcrLow, 0x0004_4031);
    expect(apic.acknowledge()).toBe(0x31);
  });

  test("to others are only noted", () => {
    write(Apic.IcrHigh, 0x0100_0000);
    write(Apic.IcrLow, 0x4031);
    write(Apic.IcrLow, 0x000c_4500);
    expect(apic.irr.highest()).toBe(-1);
    expect(apic.sent).toEqual([
      { vector: 0x31, delivery: 0, shorthand: 0, destination: 1 },
      { vector: 0, delivery: 5, shorthand: 3, destination: 1 },
    ]);
  });
});

describe("the timer", () => {
  test("fires once, when its count has run down", () => {
    write(Apic.TimerDivide, 0xb);
    write(Apic.LvtTimer, 0x31);
    write(Apic.TimerInitial, 100);
    clock.advance(990);
    expect(read(Apic.TimerCurrent)).toBe(1);
    expect(apic.pending()).toBe(-1);
    clock.advance(10);
    expect(apic.acknowledge()).toBe(0x31);
    write(Apic.Eoi, 0);
    clock.advance(10_000);
    expect(apic.pending()).toBe(-1);
  });

  test("in periodic mode fires again, divided", () => {
    write(Apic.TimerDivide, 0);
    write(Apic.LvtTimer, 0x2_0031);
    write(Apic.TimerInitial, 10);
    for (let period = 0; period < 3; period++) {
      clock.advance(200);
      expect(apic.acknowledge()).toBe(0x31);
      write(Apic.Eoi, 0);
    }
  });

  test("is silent while masked", () => {
    write(Apic.TimerInitial, 1);
    clock.advance(1000);
    expect(apic.irr.highest()).toBe(-1);
  });
});
