// INIT, start-up interrupts and NMIs in x2APIC mode (AMD64 Architecture Programmer's Manual volume 2, 16.13 and 16.14).
// That no INIT reaches a real local APIC, the simulated machine sees to.
import { describe, expect, test } from "vitest";
import { Apic, APIC_BASE } from "../../../machine/apic.ts";
import type { Guest } from "../../../machine/guest/guest.ts";
import type { Machine } from "../../../machine/machine.ts";
import { Msr } from "../../../machine/msrs.ts";
import { type Boot, VENDORS } from "../vcpu/setup.ts";
import { CHOICES, Command, nmis, place, settle } from "./setup.ts";

const ICR = 0x830;
const X2APIC = 0xc00n;
const ENABLED = 0x800n;
const NOTHING = 0xffff_ffff;

/** Processors with these local APICs, all in x2APIC mode. */
function startBy(boot: Boot, apicIds: readonly number[]): Machine {
  const machine = boot({ cpu: { x2apic: true }, processors: apicIds.map((apicId) => ({ apicId })) });
  for (const guest of machine.guests) guest.wrmsr(Msr.ApicBase, guest.rdmsr(Msr.ApicBase) | X2APIC);
  return machine;
}

function send({ guest }: Machine, command: number, destination = 0): void {
  guest.wrmsr(ICR, (BigInt(destination) << 32n) | BigInt(command >>> 0));
}

/** The numbers of the processors that wait for a start-up interrupt. */
function waiting(machine: Machine): number[] {
  settle(machine);
  return machine.guests.flatMap((guest, number) => (place(guest) === "waits" ? [number] : []));
}

const destinations: readonly [string, number, number, number[]][] = [
  ["a number", 0, 0x21, [3]],
  ["the number of none", 0, 0x22, []],
  ["the number of all", 0, 0xffff_ffff, [0, 1, 2, 3]],
  ["all of xAPIC mode, which is a number here", 0, 0xff, []],
  ["two of cluster 0", Command.Logical, 0x0000_0006, [1, 2]],
  ["one of cluster 2", Command.Logical, 0x0002_0002, [3]],
  ["a cluster's processor that is not there", Command.Logical, 0x0002_0004, []],
  ["all others", Command.AllButSelf, 0, [1, 2, 3]],
];
describe.each(VENDORS)("%s", (_vendor, boot) => {
  const start = (apicIds: readonly number[]): Machine => startBy(boot, apicIds);

  test.each(destinations)("INIT goes to %s", (_name, bits, destination, expected) => {
    const machine = start([0, 1, 2, 0x21]);
    send(machine, Command.Init | bits, destination);
    // The boot processor starts anew instead of waiting.
    expect(waiting(machine)).toEqual(expected.filter((number) => number > 0));
  });

  test("of a local APIC's registers only the interrupt command's write exits, and what the task priority has", () => {
    const { guest } = start([0, 1]);
    const exits = (): number[] => [guest.exits("msr"), guest.exits("nested page fault")];
    const [before] = exits();
    for (const index of [0x802, 0x803, 0x80a, 0x80d, 0x80f, 0x810, 0x820, 0x828, 0x830, 0x832, 0x835, 0x838, 0x839])
      guest.rdmsr(index);
    for (const [index, value] of [
      [0x80b, 0n],
      [0x832, 0x2_00efn],
      [0x838, 1000n],
      [0x83f, 0x41n],
    ] as const)
      guest.wrmsr(index, value);
    expect(exits()).toEqual([before, 0]);
    guest.wrmsr(ICR, 0x4_0041n);
    guest.rdmsr(0x808);
    guest.wrmsr(0x808, 0x20n);
    expect(exits()).toEqual([before! + 3, 0]);
  });

  test("each processor finds in the page what its own mode says, whatever the others' are", () => {
    const machine = boot({ cpu: { x2apic: true }, processors: 3 });
    const [, second, third] = machine.guests as [Guest, Guest, Guest];
    const versions = (): number[] => machine.guests.map((guest) => guest.read32(APIC_BASE + Apic.Version));
    const version = machine.apic.readRegister(Apic.Version);
    second.wrmsr(Msr.ApicBase, second.rdmsr(Msr.ApicBase) | X2APIC);
    expect(versions()).toEqual([version, NOTHING, version]);
    third.wrmsr(Msr.ApicBase, third.rdmsr(Msr.ApicBase) & ~ENABLED);
    expect(versions()).toEqual([version, NOTHING, NOTHING]);
    const places = machine.guests.map(place);
    for (const guest of [second, third]) guest.write32(APIC_BASE + Apic.IcrLow, Command.Init | Command.AllButSelf);
    expect(waiting(machine)).toEqual([]);
    expect(place(machine.guest)).toBe(places[0]);
    third.wrmsr(Msr.ApicBase, third.rdmsr(Msr.ApicBase) | ENABLED);
    second.wrmsr(Msr.ApicBase, second.rdmsr(Msr.ApicBase) & ~X2APIC & ~ENABLED);
    second.wrmsr(Msr.ApicBase, second.rdmsr(Msr.ApicBase) | ENABLED);
    expect(versions()).toEqual([version, version, version]);
  });

  describe.each(CHOICES)("a processor that takes Sheer's NMIs %s", (_name, choose) => {
    test("starts where SIPI says, still in x2APIC mode", () => {
      const machine = start([0, 0x145]);
      machine.processors.choose = choose();
      for (const command of [Command.Init, Command.startup(0x12), Command.startup(0x13)]) send(machine, command, 0x145);
      settle(machine);
      expect(place(machine.guests[1]!)).toBe("1200:0");
      expect(machine.processor(1).apic.mode).toBe("x2apic");
    });

    test("is given the NMI that it is sent, once", () => {
      const machine = start([0, 0x145]);
      machine.processors.choose = choose();
      send(machine, Command.Nmi, 0x145);
      settle(machine);
      machine.guests[1]!.cpuid(0);
      expect(machine.guests.map(nmis)).toEqual([0, 1]);
    });
  });
});
