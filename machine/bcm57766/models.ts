/** What sets the generations of the family apart, as far as a driver has to know. */
export interface ModelFacts {
  readonly device: number;
  /** BCM57765 and later: a limit for replenishing, the largest frame in the ring's size, cutting for any headers. */
  readonly from57765: boolean;
  /** A power management unit keeps the PHY powered through a reset; else the driver must ask for it. */
  readonly powerManagement: boolean;
  /** Most receive buffers that may be offered by one write; a defect of the BCM5755's generation. */
  readonly offerAtMost: number;
  /** The read DMA engine needs a bit set against an overflow of its FIFO. */
  readonly fifoFix: boolean;
}

export type BroadcomModel = "BCM5722" | "BCM5761" | "BCM5764M" | "BCM57765" | "BCM57766";

const late = { from57765: true, powerManagement: true, offerAtMost: 512, fifoFix: true } as const;
const middle = { from57765: false, powerManagement: true, offerAtMost: 512, fifoFix: true } as const;

export const MODELS: Readonly<Record<BroadcomModel, ModelFacts>> = {
  BCM5722: { device: 0x165a, from57765: false, powerManagement: false, offerAtMost: 8, fifoFix: false },
  BCM5761: { ...middle, device: 0x1681 },
  BCM5764M: { ...middle, device: 0x1684 },
  BCM57765: { ...late, device: 0x16b4 },
  BCM57766: { ...late, device: 0x1686 },
};
