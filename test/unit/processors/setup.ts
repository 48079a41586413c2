// Several processors under Sheer, and what they send each other by their interrupt command registers.
import { Apic, APIC_BASE, Delivery } from "../../../machine/apic.ts";
import { Machine } from "../../../machine/machine.ts";
import type { Choice } from "../../../machine/processors.ts";
import type { Guest } from "../../../machine/svm/guest.ts";
import { EventType, Save } from "../../../machine/svm/vmcb.ts";
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

/** What is in the save area from CS on that an operating system's trampoline sets for 64-bit mode. */
const LONG_MODE = [Save.Es, Save.Cs, Save.Ss, Save.Ds, Save.Efer, Save.Cr4, Save.Cr3, Save.Cr0, Save.Rflags, Save.Rsp];

/** A processor that was started in real mode goes over to the boot processor's 64-bit mode. */
export function enterLongMode(machine: Machine, guest: Guest): void {
  longModeOf(machine.guest)(guest);
}

/** What takes a processor over to the mode in which this one is now. */
export function longModeOf(from: Guest): (guest: Guest) => void {
  const offsets = LONG_MODE.flatMap((at) => (at <= Save.Ds ? [at, at + 8] : [at]));
  const values = offsets.map((at) => from.processor.vmcb.get(at));
  return ({ processor, code }) => {
    offsets.forEach((at, i) => processor.vmcb.set(at, values[i]!));
    processor.rip = BigInt(code);
  };
}

/** Where a processor is after INIT and start-up interrupts. */
export function place({ processor }: Guest): string {
  if (processor.waiting) return "waits";
  return `${processor.vmcb.get16(Save.Cs).toString(16)}:${processor.rip.toString(16)}`;
}
