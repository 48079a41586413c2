import { PciFunction } from "../../../pci/config";
import { PciIdentity } from "../../../pci/identity";
import { NetworkDriver } from "../attach";
import { NetworkCard } from "../card";
import { BroadcomCard } from "./card";
import { Chip, chipOf } from "./ids";

/** The driver of Broadcom's NetXtreme cards; their registers are in BAR 0. */
export class BroadcomDriver extends NetworkDriver {
  constructor() {
    super("broadcom");
  }

  supports(identity: PciIdentity): bool {
    return chipOf(identity.id) != Chip.Unsupported;
  }

  makeCard(pci: PciFunction, id: u32, registers: u64): NetworkCard {
    const known = chipOf(id);
    // A card that a rule has given to this driver is taken for one of the newest.
    return new BroadcomCard(pci, registers, known == Chip.Unsupported ? Chip.Bcm57766 : known);
  }
}
