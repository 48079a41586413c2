/** Where a model has its registers: BAR 0 is memory in all. */
type Bars = "pci" | "express" | "chipset" | "memory";

/** What sets models apart, by their manuals and, for the chipsets, by what drivers have to observe. */
export interface ModelFacts {
  readonly device: number;
  readonly bars: Bars;
  /** On PCI Express: has MSI, and requests under way must end before a reset. */
  readonly express: boolean;
  readonly msix: boolean;
  /** The MAC in a chipset, which hangs when it is touched soon after a reset, and whose PHY falls back if it is reset. */
  readonly chipset: boolean;
  /** Time after a reset until the EEPROM has been read, which sets the receive address. */
  readonly reload: number;
  /** The driver must own the management interface for a reset. */
  readonly ownsManagement: boolean;
  /** INTx is never asserted. */
  readonly lineDead: boolean;
  /** The descriptor rings must be empty at a reset. */
  readonly emptyRings: boolean;
}

export type Model = "82540EM" | "82571EB" | "82573L" | "82574L" | "82579LM" | "I217-LM" | "I219-LM";

const MILLISECOND = 1_000_000;
const older = { chipset: false, reload: MILLISECOND, lineDead: false, emptyRings: false } as const;
const express = { ...older, bars: "express", express: true, msix: false, ownsManagement: false } as const;
const chipset = { ...express, bars: "chipset", chipset: true, reload: 8 * MILLISECOND } as const;

export const MODELS: Readonly<Record<Model, ModelFacts>> = {
  "82540EM": { ...older, device: 0x100e, bars: "pci", express: false, msix: false, reload: 3e6, ownsManagement: false },
  "82571EB": { ...express, device: 0x105e },
  "82573L": { ...express, device: 0x109a, ownsManagement: true },
  "82574L": { ...express, device: 0x10d3, msix: true, ownsManagement: true },
  "82579LM": { ...chipset, device: 0x1502 },
  "I217-LM": { ...chipset, device: 0x153a },
  "I219-LM": { ...chipset, device: 0x15b7, bars: "memory", lineDead: true, emptyRings: true },
};
