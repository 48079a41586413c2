import { hasId } from "../ids";

/** What sets chips apart in this driver, in the order of their age. */
export const enum Chip {
  Unsupported,
  /** BCM5722, BCM5754 to BCM5756, BCM5787. */
  Bcm5755,
  Bcm5761,
  /** BCM5723, BCM5764M, BCM5784M. */
  Bcm5784,
  /** BCM57760, BCM57780, BCM57788. */
  Bcm57780,
  /** BCM57761, BCM57765, BCM57781, BCM57785. */
  Bcm57765,
  /** BCM57762, BCM57766. */
  Bcm57766,
}

export const BROADCOM: u32 = 0x14e4;

// prettier-ignore
const BCM5755_IDS: StaticArray<u16> = [
  0x165a, // BCM5722
  0x1672, 0x167a, // BCM5754M, BCM5754
  0x1673, 0x1674, 0x167b, // BCM5755M, BCM5756ME, BCM5755
  0x1693, 0x169b, // BCM5787M, BCM5787
];
const BCM5761_IDS: StaticArray<u16> = [0x1680, 0x1681]; // BCM5761E, BCM5761
const BCM5784_IDS: StaticArray<u16> = [0x165b, 0x1684, 0x1698]; // BCM5723, BCM5764M, BCM5784M
const BCM57780_IDS: StaticArray<u16> = [0x1690, 0x1691, 0x1692]; // BCM57760, BCM57788, BCM57780
const BCM57765_IDS: StaticArray<u16> = [0x16b0, 0x16b1, 0x16b4, 0x16b5]; // BCM57761, BCM57781, BCM57765, BCM57785
const BCM57766_IDS: StaticArray<u16> = [0x1682, 0x1686]; // BCM57762, BCM57766

/** The chip of a function by its device ID 31:16 and vendor ID 15:0. */
export function chipOf(id: u32): Chip {
  if ((id & 0xffff) != BROADCOM) return Chip.Unsupported;
  const device = id >> 16;
  if (hasId(BCM57766_IDS, device)) return Chip.Bcm57766;
  if (hasId(BCM57765_IDS, device)) return Chip.Bcm57765;
  if (hasId(BCM57780_IDS, device)) return Chip.Bcm57780;
  if (hasId(BCM5784_IDS, device)) return Chip.Bcm5784;
  if (hasId(BCM5761_IDS, device)) return Chip.Bcm5761;
  if (hasId(BCM5755_IDS, device)) return Chip.Bcm5755;
  return Chip.Unsupported;
}

/** Whether a power management unit keeps the PHY's power through a reset. */
export function hasPowerManagement(chip: Chip): bool {
  return chip != Chip.Bcm5755;
}
