// Sleep states that processors leave by a reset, and with it Sheer: not to be had by the guest.
import { describe, expect, test } from "vitest";
import { sleepState } from "../../../machine/firmware/acpi.ts";
import { PM1_CONTROL_PORT } from "../../../machine/power.ts";
import type { Machine } from "../../../machine/machine.ts";
import { addFunction, bootWith, guestFunction } from "../pci/setup.ts";

const SCI_EN = 1;
const SLP_EN = 1 << 13;
const LOG = "sheer.efi log=0x3e8";

function start(aml?: number[]): Machine {
  return bootWith({ loadOptions: LOG, ...(aml ? { aml } : {}) });
}
function sleepWith(type: number): number {
  return SLP_EN | (type << 10) | SCI_EN;
}
function refusals(machine: Machine): number {
  return machine.log().match(/wants to sleep/g)?.length ?? 0;
}
/** The bytes of the ACPI table with this signature, as the guest reads them. */
function table({ firmware, guest }: Machine, signature: string): Uint8Array {
  const at = (address: number, count: number): Uint8Array =>
    Uint8Array.from({ length: count }, (_, i) => Number(guest.read(address + i, 1)));
  const pointer = (address: number): number => Number(guest.read(address, 8));
  const xsdt = pointer(pointer(pointer(firmware.systemTable + 112) + 16) + 24);
  const entries = (Number(guest.read(xsdt + 4, 4)) - 36) / 8;
  for (let i = 0; i < entries; i++) {
    let address = pointer(xsdt + 36 + 8 * i);
    if (signature === "DSDT" && Buffer.from(at(address, 4)).toString() === "FACP") address = pointer(address + 140);
    const name = Buffer.from(at(address, 4)).toString();
    if (name === signature) return at(address, Number(guest.read(address + 4, 4)));
  }
  throw new Error(`no ${signature}`);
}

describe("S3", () => {
  test("has vanished from the DSDT, whose bytes still add up to 0", () => {
    const dsdt = table(start(), "DSDT");
    const names = Buffer.from(dsdt).toString("latin1");
    expect(names).not.toContain("_S3_");
    expect(names).toContain("_S4_");
    expect(names).toContain("_S5_");
    expect(dsdt.reduce((sum, byte) => sum + byte, 0) & 0xff).toBe(0);
  });

  test.each([
    ["a word", 2, 0, sleepWith(1)],
    ["its upper byte", 1, 1, sleepWith(1) >> 8],
    ["a dword", 4, 0, sleepWith(1)],
    ["a dword that begins before it", 4, -2, sleepWith(1) << 16],
  ] as const)("is ignored when the guest asks for it by %s", (_name, width, offset, value) => {
    const machine = start();
    machine.guest.out(PM1_CONTROL_PORT + offset, width, value >>> 0);
    expect(machine.power.sleeps).toEqual([]);
    expect(refusals(machine)).toBe(1);
  });

  test("is ignored in a string of words", () => {
    const machine = start();
    machine.memory.write32(0x5000, sleepWith(1));
    machine.guest.string("out", PM1_CONTROL_PORT, 2, 0x5000, 1);
    expect(machine.power.sleeps).toEqual([]);
  });

  test("is logged the 1st, 2nd, 4th, 8th time", () => {
    const machine = start();
    for (let i = 0; i < 10; i++) machine.guest.out(PM1_CONTROL_PORT, 2, sleepWith(1));
    expect(refusals(machine)).toBe(4);
  });
});

test("types that no table names are ignored as well", () => {
  const machine = start();
  for (const type of [3, 4, 5, 6, 7]) machine.guest.out(PM1_CONTROL_PORT, 2, sleepWith(type));
  expect(machine.power.sleeps).toEqual([]);
});

test("S4 and S5, after which the machine boots, and S1, in which nothing is lost, are the guest's", () => {
  const machine = start([...sleepState(1, 6), ...sleepState(2, 7), ...sleepState(4, 2), ...sleepState(5, 0, 3)]);
  for (const type of [6, 7, 2, 0, 3]) machine.guest.out(PM1_CONTROL_PORT, 2, sleepWith(type));
  expect(machine.power.sleeps).toEqual([6, 2, 0]);
});

test("the register is the guest's otherwise", () => {
  const machine = start();
  machine.guest.out(PM1_CONTROL_PORT, 2, SCI_EN | (1 << 10));
  expect(machine.guest.in(PM1_CONTROL_PORT, 2)).toBe(SCI_EN | (1 << 10));
  expect(machine.guest.in(PM1_CONTROL_PORT + 1, 1)).toBe(1 << 2);
});

test("tables without S5 are reported: then nothing can be had", () => {
  const machine = start([...sleepState(3, 1)]);
  expect(machine.log()).toMatch(/do not tell how to switch the machine off/);
  machine.guest.out(PM1_CONTROL_PORT, 2, sleepWith(0));
  expect(machine.power.sleeps).toEqual([]);
});

test.each([
  ["ICH9's LPC bridge", "00:1f.0", 0x8086, true],
  ["another function of Intel's", "00:07.0", 0x8086, true],
  ["another vendor's function", "00:1f.0", 0x1234, false],
])("the register cannot be moved by %s", (_name, slot, vendor, guarded) => {
  const base = (PM1_CONTROL_PORT - 4) | 1;
  const machine = bootWith({ loadOptions: LOG }, (pc) => {
    const lpc = addFunction(pc, slot, { vendor });
    for (const register of [0x40, 0x44, 0x48]) lpc.allowWrites(register, 4, 0xffff_ffff);
    lpc.set(0x40, 4, base);
  });
  const lpc = guestFunction(machine, slot);
  for (const register of [0x40, 0x44, 0x48]) lpc.write(register, 4, 0x801);
  expect([0x40, 0x44, 0x48].map((register) => lpc.read(register, 4))).toEqual(
    guarded ? [base, 0, 0x801] : [0x801, 0x801, 0x801],
  );
});
