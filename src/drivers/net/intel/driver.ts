import { findCapability } from "../../../pci/capability";
import { PciFunction } from "../../../pci/config";
import { CapabilityId } from "../../../pci/header";
import { PciIdentity } from "../../../pci/identity";
import { NetworkDriver } from "../attach";
import { NetworkCard } from "../card";
import { IntelCard } from "./card";
import { Generation, generationOf } from "./ids";

/** The driver of Intel's cards; its registers are in BAR 0. */
export class IntelDriver extends NetworkDriver {
  constructor() {
    super("intel");
  }

  supports(identity: PciIdentity): bool {
    return generationOf(identity.id) != Generation.Unsupported;
  }

  makeCard(pci: PciFunction, id: u32, registers: u64): NetworkCard {
    const known = generationOf(id);
    // A card that a rule has given to this driver is taken for the newest that it can be.
    const guess = findCapability(pci, CapabilityId.Express) ? Generation.Pcie82574 : Generation.Pci;
    return new IntelCard(pci, registers, known == Generation.Unsupported ? guess : known);
  }
}
