import type { PciFunction } from "../pci/function.ts";
import type { Wire } from "./wire.ts";

/** A simulated network card of whatever kind, as the machine and the tests common to all kinds see it. */
export interface NetworkCard {
  readonly pci: PciFunction;
  readonly wire: Wire;
  readonly mac: readonly number[];
  readonly linkUp: boolean;
  /** Interrupts that the card asked for, of any kind. */
  readonly interruptCount: number;
  /** Pulls the cable out or puts it in. */
  setCable(plugged: boolean): void;
  /** The power goes and comes back: nothing is left of what software set, in configuration space either. */
  powerCycle(): void;
  /** Gives the base address registers their places, as the firmware does: memory and I/O from these addresses on. */
  place(memory: number, ports: number): void;
}
