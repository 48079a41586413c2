import { hasId } from "../ids";

/** What sets cards apart in this driver, in the order of their age. */
export const enum Generation {
  Unsupported,
  /** 82540, 82545, 82546. */
  Pci,
  /** 82541, 82547. */
  Pci82541,
  /** 82571 and 82572. */
  Pcie82571,
  Pcie82573,
  /** 82574 and 82583. */
  Pcie82574,
  /** The MAC inside a chipset: of ICH8 to ICH10. */
  Ich,
  /** With an 82577, 82578 or 82579 as its PHY. */
  Pch,
  /** With an I217 or I218. */
  I217,
  /** With an I219. */
  I219,
}

export const INTEL: u32 = 0x8086;

// prettier-ignore
const PCI_IDS: StaticArray<u16> = [
  0x100e, 0x1015, 0x1016, 0x1017, 0x101e, // 82540EM, EP
  0x100f, 0x1011, 0x1026, 0x1027, 0x1028, // 82545EM, GM
  0x1010, 0x1012, 0x101d, 0x1079, 0x107a, 0x107b, 0x108a, 0x1099, 0x10b5, // 82546EB, GB
];
// prettier-ignore
const PCI_82541_IDS: StaticArray<u16> = [
  0x1013, 0x1014, 0x1018, 0x1076, 0x1077, 0x1078, 0x107c, // 82541EI, ER, GI
  0x1019, 0x101a, 0x1075, // 82547EI, GI
];
// prettier-ignore
const PCIE_82571_IDS: StaticArray<u16> = [
  0x105e, 0x105f, 0x1060, 0x10a4, 0x10a5, 0x10bc, 0x10d5, 0x10d9, 0x10da, // 82571EB, PT
  0x107d, 0x107e, 0x107f, 0x10b9, // 82572EI
];
const PCIE_82573_IDS: StaticArray<u16> = [0x108b, 0x108c, 0x109a]; // 82573E, V, L
const PCIE_82574_IDS: StaticArray<u16> = [0x10d3, 0x10f6, 0x150c]; // 82574L, 82583V
// prettier-ignore
const ICH_IDS: StaticArray<u16> = [
  0x1049, 0x104a, 0x104b, 0x104c, 0x104d, 0x10c4, 0x10c5, 0x1501, // ICH8: 82562, 82566, 82567
  0x10bd, 0x10bf, 0x10c0, 0x10c2, 0x10c3, 0x10cb, 0x10e5, 0x10f5, 0x294c, // ICH9
  0x10cc, 0x10cd, 0x10ce, 0x10de, 0x10df, 0x1525, // ICH10
];
// prettier-ignore
const PCH_IDS: StaticArray<u16> = [
  0x10ea, 0x10eb, 0x10ef, 0x10f0, // 82577LM, LC, 82578DM, DC
  0x1502, 0x1503, // 82579LM, V
];
// prettier-ignore
const I217_IDS: StaticArray<u16> = [
  0x153a, 0x153b, // I217-LM, V
  0x1559, 0x155a, 0x15a0, 0x15a1, 0x15a2, 0x15a3, // I218-V, LM
];
// prettier-ignore
const I219_IDS: StaticArray<u16> = [
  0x156f, 0x1570, 0x15b7, 0x15b8, 0x15b9, 0x15d6, 0x15d7, 0x15d8, 0x15e3, // I219-LM, V to LM5, V5
  0x15bb, 0x15bc, 0x15bd, 0x15be, 0x15df, 0x15e0, 0x15e1, 0x15e2, // LM6, V6 to LM9, V9
  0x0d4c, 0x0d4d, 0x0d4e, 0x0d4f, 0x0d53, 0x0d55, // LM10, V10 to LM12, V12
  0x15f4, 0x15f5, 0x15f9, 0x15fa, 0x15fb, 0x15fc, // LM13, V13 to LM15, V15
  0x1a1c, 0x1a1d, 0x1a1e, 0x1a1f, // LM16, V16, LM17, V17
];

/** The generation of a function by its device ID 31:16 and vendor ID 15:0. */
export function generationOf(id: u32): Generation {
  if ((id & 0xffff) != INTEL) return Generation.Unsupported;
  const device = id >> 16;
  if (hasId(PCIE_82574_IDS, device)) return Generation.Pcie82574;
  if (hasId(PCI_IDS, device)) return Generation.Pci;
  if (hasId(I219_IDS, device)) return Generation.I219;
  if (hasId(I217_IDS, device)) return Generation.I217;
  if (hasId(PCH_IDS, device)) return Generation.Pch;
  if (hasId(ICH_IDS, device)) return Generation.Ich;
  if (hasId(PCIE_82573_IDS, device)) return Generation.Pcie82573;
  if (hasId(PCIE_82571_IDS, device)) return Generation.Pcie82571;
  if (hasId(PCI_82541_IDS, device)) return Generation.Pci82541;
  return Generation.Unsupported;
}

/** Whether the card is on PCI or PCI-X, not PCI Express. */
export function isPci(generation: Generation): bool {
  return generation <= Generation.Pci82541;
}
export function isChipset(generation: Generation): bool {
  return generation >= Generation.Ich;
}
