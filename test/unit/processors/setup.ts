// Several processors under Sheer, and what they send each other by their interrupt command registers.
import { Apic, APIC_BASE, Delivery } from "../../../machine/apic.ts";
import { Machine } from "../../../machine/machine.ts";
import type { Choice } from "../../../machine/processors.ts";
import { EventType } from "../../../machine/guest/events.ts";
import type { Guest } from "../../../machine/guest/guest.ts";
import { Gpr, Segment } from "../../../machine/guest/state.ts";
import { random } from "../net/setup.ts";

export const ICR = APIC_BASE + Apic.IcrLow;
const ICR_HIGH = APIC_BASE + Apic.IcrHigh;

/** Low halves of the interrupt command register (AMD APM 2, 16.5), to a physical destination. */
export const Command = {
  Init: (Delivery.Init << 8) | 0x4000,
  /** INIT, level-triggered and not asserted. */
  InitDeassert: (Delivery.Init << 8) | 0x8000,
  Nmi: (Delivery.Nmi << 8) | 0x4000,
  Logical: 1 << 11,
  Self: 1 << 18,
  All: 2 << 18,
  AllButSelf: 3 << 18,
  startup: (vector: number): number => (Delivery.Startup << 8) | 0x4000 | vector,
} as const;

export function send(guest: Guest, command: number, destination = 0): void {
  guest.write32(ICR_HIGH, destination << 24);
  guest.write32(ICR, command);
}

/** When processors take the NMIs by which Sheer stops them. */
export const CHOICES: readonly (readonly [string, () => Choice])[] = [
  [
    "at once",
    () =>
      ([first]) =>
        first,
  ],
  ["when they must", () => () => undefined],
  ["now or then", () => unsteady(7)],
];

/** One of those that are ready, or none. */
export function unsteady(seed: number): Choice {
  const next = random(seed);
  return (ready) => ready[next(ready.length + 1)];
}

/** Every processor takes what has been sent to it. */
export function settle(machine: Machine): void {
  const { processors } = machine;
  for (let round = 0; round < 4; round++) for (const { processor } of machine.guests) processor.settle();
  if (processors.all.some((processor) => processor.canTakeNmi)) throw new Error("NMIs come without end");
}

/** How many NMIs the guest has had on a processor. */
export function nmis({ received }: Guest): number {
  return received.filter(({ type }) => type === EventType.Nmi).length;
}

const { Es, Cs, Ss, Ds } = Segment;

/** A processor that was started in real mode goes over to the boot processor's 64-bit mode. */
export function enterLongMode(machine: Machine, guest: Guest): void {
  longModeOf(machine.guest)(guest);
}

/** What takes a processor over to the mode in which this one is now, as an operating system's trampoline does. */
export function longModeOf({ processor: from }: Guest): (guest: Guest) => void {
  const segments = [Es, Cs, Ss, Ds].map((index) => [index, from.segment(index)] as const);
  const controls = [0, 3, 4].map((number) => [number, from.controlRegister(number)] as const);
  const { efer, rflags } = from;
  const stack = from.gpr(Gpr.Rsp);
  return ({ processor, code }) => {
    for (const [index, register] of segments) processor.setSegment(index, register);
    for (const [number, value] of controls) processor.setControlRegister(number, value);
    processor.efer = efer;
    processor.rflags = rflags;
    processor.setGpr(Gpr.Rsp, stack);
    processor.rip = BigInt(code);
  };
}

/** Where a processor is after INIT and start-up interrupts. */
export function place({ processor }: Guest): string {
  if (processor.waiting) return "waits";
  return `${processor.segment(Segment.Cs).selector.toString(16)}:${processor.rip.toString(16)}`;
}
