import type { Clock } from "../clock.ts";
import type { Wire } from "../net/wire.ts";
import type { PciFunction } from "../pci/function.ts";
import type { Coalescing } from "./coalescing.ts";
import type { Faults } from "./faults.ts";
import type { BootCode } from "./firmware.ts";
import type { ModelFacts } from "./models.ts";
import type { Order } from "./order.ts";

/** What the parts of one card share. */
export interface CardState {
  readonly facts: ModelFacts;
  readonly clock: Clock;
  readonly pci: PciFunction;
  readonly wire: Wire;
  readonly faults: Faults;
  readonly order: Order;
  readonly boot: BootCode;
  readonly coalescing: Coalescing;
  /** A register as plain storage. */
  get(register: number): number;
  set(register: number, value: number): void;
}

/** A ring in the host's memory. */
export function ringAddress(high: number, low: number): number {
  return high * 2 ** 32 + low;
}

/** The difference of two indices in a ring. */
export function distance(from: number, to: number, entries: number): number {
  return (to - from + entries) % entries;
}
