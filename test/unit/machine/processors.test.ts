import { beforeEach, describe, expect, test } from "vitest";
import { Apic, APIC_BASE, Delivery } from "../../../machine/apic.ts";
import { EfiStatus } from "../../../machine/firmware/uefi.ts";
import { Machine } from "../../../machine/machine.ts";

const VECTOR = 0x44;
const LOGICAL = 0x800;
const FLAT = 0xffff_ffff;
const CLUSTERS = 0x0fff_ffff;

let machine: Machine;

/** Logical ids: one bit each. */
function nameLogically(format: number, names: readonly number[]): void {
  names.forEach((name, number) => {
    const { apic } = machine.processor(number);
    apic.writeMmio(Apic.Dfr, 4, format);
    apic.writeMmio(Apic.Ldr, 4, (name << 24) >>> 0);
  });
}

function send(command: number, destination = 0, sender = 0): void {
  const { apic } = machine.processor(sender);
  apic.writeMmio(Apic.IcrHigh, 4, (destination << 24) >>> 0);
  apic.writeMmio(Apic.IcrLow, 4, command);
}

/** The processors that a fixed interrupt has reached. */
function reached(): number[] {
  return machine.processors.all.filter(({ apic }) => apic.irr.has(VECTOR)).map(({ number }) => number);
}

beforeEach(() => {
  machine = new Machine({ processors: 4, cards: [] });
});

describe("an interprocessor interrupt reaches", () => {
  test.each([
    ["one, by its id", VECTOR, 2, [2]],
    ["all, by the id FFh", VECTOR, 0xff, [0, 1, 2, 3]],
    ["nobody, by an id that none has", VECTOR, 9, []],
    ["its sender by the shorthand", VECTOR | 0x4_0000, 2, [1]],
    ["all by the shorthand", VECTOR | 0x8_0000, 2, [0, 1, 2, 3]],
    ["all others by the shorthand", VECTOR | 0xc_0000, 2, [0, 2, 3]],
  ])("%s", (_name, command, destination, expected) => {
    send(command, destination, 1);
    expect(reached()).toEqual(expected);
  });

  test.each([
    ["flat ids of several bits", FLAT, [1, 2, 4, 8], 0b1010, [1, 3]],
    ["clusters", CLUSTERS, [0x11, 0x12, 0x21, 0x22], 0x23, [2, 3]],
    ["no other cluster", CLUSTERS, [0x11, 0x12, 0x21, 0x22], 0x34, []],
    ["all by FFh", CLUSTERS, [0x11, 0x12, 0x21, 0x22], 0xff, [0, 1, 2, 3]],
  ])("%s", (_name, format, names, destination, expected) => {
    nameLogically(format, names);
    send(VECTOR | LOGICAL, destination);
    expect(reached()).toEqual(expected);
  });

  test("the least busy one if the lowest priority is asked for", () => {
    [0x50, 0x40, 0x20, 0x30].forEach((priority, i) => machine.processor(i).apic.writeMmio(Apic.Tpr, 4, priority));
    send(VECTOR | (Delivery.Lowest << 8), 0xff);
    expect(reached()).toEqual([2]);
    machine.processors.message(APIC_BASE | (0xff << 12), VECTOR | (Delivery.Lowest << 8));
    expect(reached()).toEqual([2]);
  });

  test("another processor as an NMI", () => {
    send(Delivery.Nmi << 8, 3);
    expect(machine.processors.all.map(({ apic }) => apic.nmi)).toEqual([false, false, false, true]);
  });

  test.each([Delivery.Init, Delivery.Startup])("no processor as INIT or SIPI without an error (%i)", (delivery) => {
    expect(() => send((delivery << 8) | 0x4000, 1)).toThrow("reached 1");
    expect(() => send((delivery << 8) | 0x4000, 9)).not.toThrow();
  });
});

test("every processor finds its own local APIC in one place", () => {
  expect(machine.memory.read32(APIC_BASE + Apic.Id)).toBe(0);
  const id = machine.processors.run(machine.processor(3), () => machine.memory.read32(APIC_BASE + Apic.Id));
  expect(id >>> 24).toBe(3);
});

test("a processor that spins without end fails the test", () => {
  const spin = (): void => {
    for (;;) machine.processors.pause();
  };
  expect(() => machine.processors.run(machine.processor(1), spin)).toThrow("processor 1 spins without end");
});

describe("MP services", () => {
  const RESULT = 0x10_0000;
  const call = (name: string, ...args: number[]): bigint =>
    machine.firmware.call(machine.firmware.bootService(name), [0, ...args].map(BigInt));

  beforeEach(() => {
    machine = new Machine({ processors: [{}, { apicId: 6 }, { disabled: true }, { answers: "never" }], cards: [] });
  });

  test("count the processors, and those that are turned on", () => {
    expect(call("GetNumberOfProcessors", RESULT, RESULT + 8)).toBe(EfiStatus.Success);
    expect([machine.memory.read64(RESULT), machine.memory.read64(RESULT + 8)]).toEqual([4n, 3n]);
    expect(call("GetNumberOfProcessors", 0, RESULT)).toBe(EfiStatus.InvalidParameter);
  });

  test("describe each", () => {
    const flags = [0, 1, 2].map((number) => {
      expect(call("GetProcessorInfo", number, RESULT)).toBe(EfiStatus.Success);
      return machine.memory.read32(RESULT + 8);
    });
    expect(flags).toEqual([7, 6, 4]);
    call("GetProcessorInfo", 1, RESULT);
    expect(machine.memory.read64(RESULT)).toBe(6n);
    expect(call("GetProcessorInfo", 4, RESULT)).toBe(EfiStatus.NotFound);
  });

  test("refuse to start what cannot be started", () => {
    const start = (number: number): bigint => call("StartupThisAP", 0x1000, number, 0, 500, 0, 0);
    expect(start(0)).toBe(EfiStatus.InvalidParameter);
    expect(start(2)).toBe(EfiStatus.InvalidParameter);
    expect(start(4)).toBe(EfiStatus.NotFound);
    expect(() => start(1)).toThrow("no procedure");
  });

  test("give up after the time that was asked for", () => {
    const before = machine.clock.now;
    machine.memory.write8(RESULT, 7);
    expect(call("StartupThisAP", 0x1000, 3, 0, 500, 0, RESULT)).toBe(EfiStatus.Timeout);
    expect(machine.clock.now - before).toBe(500_000);
    expect(machine.memory.read8(RESULT)).toBe(0);
    expect(call("StartupThisAP", 0x1000, 3, 0, 500, 0, 0)).toBe(EfiStatus.NotReady);
  });
});
