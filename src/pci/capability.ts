import { PciFunction } from "./config";
import { CapabilityId, Header, Status } from "./header";

/** More capabilities than fit between 0x40 and 0xFF: the list is circular. */
const MAXIMUM_CAPABILITIES: u32 = 48;

/** Lengths of capabilities (PCI Power Management 1.2, 3.2; PCI Express 3.0, 7.8). */
const enum Size {
  PowerManagement = 8,
  Express1 = 0x14,
  /** Of version 2, as far as an endpoint has registers in it. */
  Express2 = 0x34,
}
const EXPRESS_VERSION: u32 = 0xf;
const MAXIMUM_SHOWN: u32 = 4;

/**
 * Capabilities of a real function that the guest is to see among those of the device in its place: each at a place of
 * Sheer's choice, with the pointers to the next rewritten. All others are hidden. They are read through, never written:
 * a guest that could have the function reset itself or lose its power would do so to Sheer's driver.
 */
export class CapabilityMap {
  private count: u32 = 0;
  private readonly places: StaticArray<u32> = new StaticArray<u32>(MAXIMUM_SHOWN);
  private readonly ends: StaticArray<u32> = new StaticArray<u32>(MAXIMUM_SHOWN);
  private readonly origins: StaticArray<u32> = new StaticArray<u32>(MAXIMUM_SHOWN);

  /** From `place` to below `end` of the guest's configuration space is room for them. */
  constructor(
    private readonly pci: PciFunction,
    private place: u32,
    private readonly end: u32,
  ) {}

  /** Where the first of them is, or 0. */
  get first(): u32 {
    return this.count ? unchecked(this.places[0]) : 0;
  }

  /** Shows a capability after those shown already; false if the function has none of this kind, or there is no room. */
  show(id: CapabilityId): bool {
    const origin = findCapability(this.pci, id);
    const size = origin ? this.sizeOf(id, origin) : 0;
    if (!size || this.count == MAXIMUM_SHOWN || this.place + size > this.end) return false;
    unchecked((this.places[this.count] = this.place));
    unchecked((this.origins[this.count] = origin));
    this.place += size;
    unchecked((this.ends[this.count++] = this.place));
    return true;
  }

  /** The dword at a register of the guest's; 0 where nothing is shown. */
  read(register: u32): u32 {
    for (let i: u32 = 0; i < this.count; i++) {
      const place = unchecked(this.places[i]);
      if (register < place || register >= unchecked(this.ends[i])) continue;
      const value = this.pci.read32(unchecked(this.origins[i]) + register - place);
      const next: u32 = i + 1 < this.count ? unchecked(this.places[i + 1]) : 0;
      return register == place ? (value & ~0xff00) | (next << 8) : value;
    }
    return 0;
  }

  private sizeOf(id: CapabilityId, origin: u32): u32 {
    if (id == CapabilityId.PowerManagement) return Size.PowerManagement;
    if (id != CapabilityId.Express) return 0;
    return (this.pci.read16(origin + 2) & EXPRESS_VERSION) < 2 ? Size.Express1 : Size.Express2;
  }
}

/** Offset of a function's first capability of a kind, or 0 (PCI Local Bus 3.0, 6.7). */
export function findCapability(pci: PciFunction, id: CapabilityId): u32 {
  if (!(pci.read16(Header.Status) & Status.CapabilitiesList)) return 0;
  let offset = pci.read8(Header.CapabilitiesPointer) & 0xfc;
  for (let i: u32 = 0; i < MAXIMUM_CAPABILITIES && offset >= 0x40; i++) {
    const head = pci.read16(offset);
    if ((head & 0xff) == id) return offset;
    offset = (head >> 8) & 0xfc;
  }
  return 0;
}
