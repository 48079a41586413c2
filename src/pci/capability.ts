import { PciFunction } from "./config";
import { CapabilityId, Header, Status } from "./header";

/** More capabilities than fit between 0x40 and 0xFF: the list is circular. */
const MAXIMUM_CAPABILITIES: u32 = 48;

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
