// What a guest under VT-x makes of CR0, CR3 and CR4, some of whose bits VMX operation fixes (Intel SDM 3, 24.8 and 25.6.6).
import { describe, expect, test } from "vitest";
import { Segment } from "../../../machine/guest/state.ts";
import { bootIntel, EXCEPTION } from "../vcpu/setup.ts";

const PE = 1n;
const NE = 1n << 5n;
const PAE = 1n << 5n;
const PG = 1n << 31n;
const EFER = 0xc000_0080;
const LME = 1n << 8n;
const LMA = 1n << 10n;

describe("CR0", () => {
  test("is the firmware's, and reads as it was written, NE too", () => {
    const { guest } = bootIntel();
    expect(guest.readCr(0)).toBe(0x8001_0033n);
    guest.writeCr(0, 0x8001_0033n & ~NE);
    expect(guest.readCr(0)).toBe(0x8001_0033n & ~NE);
    guest.writeCr(0, 0x8005_0033n);
    expect(guest.readCr(0)).toBe(0x8005_0033n);
  });

  test("with all that Linux's start of a processor sets at once costs one exit and brings 64-bit mode", () => {
    const { guest } = bootIntel();
    const { processor } = guest;
    processor.setControlRegister(0, 0x10n | PE);
    processor.efer = LME;
    processor.setSegment(Segment.Cs, { ...processor.segment(Segment.Cs), attributes: 0xc9b });
    guest.writeCr(0, 0x8005_0033n);
    expect(guest.readCr(0)).toBe(0x8005_0033n);
    expect(guest.rdmsr(EFER) & LMA).toBe(LMA);
    expect(guest.exits("control register")).toBe(1);
  });

  test.each([
    ["PG without PE", 0x8005_0032n],
    ["NW without CD", 0xa005_0033n],
    ["a bit beyond 31", 0x1_8005_0033n],
  ])("with %s is #GP, as without Sheer, and stays", (_name, value) => {
    const { guest } = bootIntel();
    const before = guest.readCr(0);
    for (const each of [value, value & ~NE]) {
      expect(guest.fault(() => guest.writeCr(0, each))).toMatchObject({
        vector: EXCEPTION.generalProtection,
        error: 0,
      });
      expect(guest.readCr(0)).toBe(before);
    }
  });
});

describe("CR4", () => {
  test("reads as it was written, without an exit where nothing watched changes", () => {
    const { guest } = bootIntel();
    const before = guest.readCr(4);
    guest.writeCr(4, before ^ 0x80n);
    expect(guest.readCr(4)).toBe(before ^ 0x80n);
    expect(guest.exits("control register")).toBe(0);
  });

  test("without PAE in 64-bit mode is #GP", () => {
    const { guest } = bootIntel();
    expect(guest.fault(() => guest.writeCr(4, guest.readCr(4) & ~PAE))).toMatchObject({
      vector: EXCEPTION.generalProtection,
    });
  });
});

test("paging can be turned off and on again", () => {
  const { guest } = bootIntel();
  const { processor } = guest;
  processor.setSegment(Segment.Cs, { ...processor.segment(Segment.Cs), attributes: 0xc9b });
  guest.writeCr(0, guest.readCr(0) & ~PG);
  expect(guest.rdmsr(EFER) & LMA).toBe(0n);
  guest.cpuid(0);
  guest.writeCr(0, guest.readCr(0) | PG);
  expect(guest.rdmsr(EFER) & LMA).toBe(LMA);
  guest.cpuid(0);
});
