import { pause } from "../metal";

/** Polls of a register before Sheer gives up on an IOMMU: some 10 ms on a real one. */
const MAXIMUM_POLLS: u32 = 20_000;

/** An access of a device that an IOMMU refused. */
export class DmaFault {
  /** The device: bus 15:8, device 7:3, function 2:0. */
  device: u32 = 0;
  address: u64 = 0;
  /** The IOMMU's own number for why. */
  reason: u32 = 0;
}

/** One IOMMU of the machine. Register accesses are what Sheer does to it; the guest does not see it. */
export abstract class IommuUnit {
  constructor(
    /** Physical address of its registers, and their bytes. */
    readonly registers: u64,
    readonly size: u64,
    /** PCI segment of the devices that it translates for. */
    readonly segment: u32,
  ) {}

  /** Why Sheer cannot use it; empty if it can. Nothing is changed. */
  abstract obstacle(): string;
  /** Translates from now on; false, with it off, if it does not answer. */
  abstract enable(): bool;
  /** Takes the oldest access that it refused and noted; false if there is none. */
  abstract takeFault(fault: DmaFault): bool;

  /** Whether a condition comes true in time. */
  protected waitUntil(): bool {
    for (let polls: u32 = 0; polls < MAXIMUM_POLLS; polls++) {
      if (this.settled()) return true;
      pause();
    }
    return false;
  }
  /** What `waitUntil` waits for. */
  protected abstract settled(): bool;
}

/** All IOMMUs of the machine, which are of one maker. */
export abstract class Iommus {
  abstract count(): i32;
  abstract unit(index: i32): IommuUnit;
  /** Builds the tables for addresses below `end`, when no unit has an obstacle; false if no tables suit all units. */
  abstract build(end: u64): bool;
  /** Hides what can be seen of them beside their registers and their ACPI table. */
  abstract hide(): void;
}
