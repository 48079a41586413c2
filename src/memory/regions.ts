import { processors } from "../vcpu/processors";
import { guestMemory } from "./guest";
import { MmioHooks } from "./hooks";
import { MemoryType } from "./memory-type";
import { AddressMap, Region } from "./nested";
import { memoryTypes } from "./types";

const PAGE: u64 = 4096;

/** What the guest finds at its physical addresses: devices of Sheer's, Sheer's block, and all else as it is. */
export class GuestRegions extends AddressMap {
  constructor(private readonly hooks: MmioHooks) {
    super();
  }

  region(base: u64, size: u64): Region {
    if (this.hooks.touches(base, size)) {
      return size == PAGE || this.hooks.findWhole(base, size) !== null ? Region.Absent : Region.Mixed;
    }
    if (!guestMemory.permits(base, size)) {
      if (!guestMemory.isAddress(base)) return Region.Absent;
      return guestMemory.isBlock(base, size) ? Region.Zeros : Region.Mixed;
    }
    return memoryTypes.uniform(base, size) ? Region.Own : Region.Mixed;
  }

  typeOf(base: u64): MemoryType {
    return memoryTypes.typeOf(base) as MemoryType;
  }

  synchronise(): bool {
    return processors.synchronise();
  }
}
