import { beforeEach, describe, expect, test } from "vitest";
import { Apic, LocalApic } from "../../../machine/apic.ts";
import { Clock } from "../../../machine/clock.ts";
import { GeneralProtection, Msr } from "../../../machine/msrs.ts";
import { ApicMsrs } from "../../../machine/x2apic.ts";

const XAPIC = 0xfee0_0800n;
const X2APIC = 0xfee0_0c00n;
const DISABLED = 0xfee0_0000n;

let apic: LocalApic;
let msrs: ApicMsrs;

beforeEach(() => {
  apic = new LocalApic(new Clock(), 0x25);
  msrs = new ApicMsrs(apic, { x2apic: true, bootProcessor: false, reservedAddress: ~0xff_ffff_ffffn });
});

const enter = (...values: bigint[]): void => values.forEach((value) => msrs.write(Msr.ApicBase, value));

describe("the modes", () => {
  test.each([
    ["x2APIC to xAPIC", [X2APIC], XAPIC],
    ["disabled to x2APIC", [DISABLED], X2APIC],
    ["EXTD without EN", [], 0xfee0_0400n],
  ])("do not change from %s", (_name, before, value) => {
    enter(...before);
    expect(() => msrs.write(Msr.ApicBase, value)).toThrow(GeneralProtection);
  });

  test("change the other ways", () => {
    enter(X2APIC, DISABLED, XAPIC, DISABLED, XAPIC, X2APIC);
    expect(msrs.read(Msr.ApicBase)).toBe(X2APIC);
  });

  test("forget all when disabled", () => {
    apic.writeMmio(Apic.LvtTimer, 4, 0xef);
    apic.accept(0x44);
    enter(DISABLED, XAPIC);
    expect([apic.readMmio(Apic.LvtTimer), apic.readMmio(Apic.Svr), apic.irr.highest()]).toEqual([0x1_0000, 0xff, -1]);
  });
});

describe("the registers in x2APIC mode", () => {
  beforeEach(() => enter(X2APIC));

  test("are where the page has them, 16 to one", () => {
    msrs.write(0x808, 0x50n);
    expect(msrs.read(0x80a)).toBe(0x50n);
    expect(msrs.read(0x802)).toBe(0x25n);
  });

  test("have a logical id of cluster and bit", () => {
    expect(msrs.read(0x80d)).toBe(0x2_0020n);
    expect([0x2_0020, 0x2_ffff, 0xffff_ffff].map((id) => apic.isFor(id, true))).toEqual([true, true, true]);
    expect([0x3_0020, 0x2_0001, 0x20, 0xff].map((id) => apic.isFor(id, true))).toEqual([false, false, false, false]);
  });

  test.each([
    ["an id", 0x802, 1n],
    ["a reserved bit of the task priority", 0x808, 0x100n],
    ["something else than 0 for an end of interrupt", 0x80b, 1n],
    ["a destination format, which there is not", 0x80e, 0n],
    ["a reserved bit of the interrupt command", 0x830, 1n << 13n],
    ["the upper half of the command, which is no register", 0x831, 0n],
  ])("do not take %s", (_name, index, value) => {
    expect(() => msrs.write(index, value)).toThrow(GeneralProtection);
  });

  test("send commands of 64 bits", () => {
    msrs.write(0x830, 0x0000_0145_0000_4033n);
    expect(apic.sent.at(-1)).toMatchObject({ vector: 0x33, destination: 0x145, delivery: 0 });
    msrs.write(0x83f, 0x66n);
    expect(apic.acknowledge()).toBe(0x66);
  });
});

test("in xAPIC mode there are no such registers", () => {
  expect(() => msrs.read(0x802)).toThrow(GeneralProtection);
  expect(() => msrs.write(0x808, 0n)).toThrow(GeneralProtection);
});
