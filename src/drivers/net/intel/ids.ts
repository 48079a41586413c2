import { hasId } from "../ids";

/** What sets cards apart in this driver. */
export const enum Generation {
  Unsupported,
  /** 82540 to 82547: PCI and PCI-X. */
  Pci,
  /** 82571 to 82574 and 82583: PCI Express. */
  PciExpress,
  /** The MAC inside a chipset, with an I217, I218 or I219 as its PHY. */
  Chipset,
}

export const INTEL: u32 = 0x8086;

// prettier-ignore
const PCI_IDS: StaticArray<u16> = [
  0x100e, 0x1015, 0x1016, 0x1017, 0x101e, // 82540EM, EP
  0x100f, 0x1011, 0x1026, 0x1027, 0x1028, // 82545EM, GM
  0x1010, 0x1012, 0x101d, 0x1079, 0x107a, 0x107b, 0x108a, 0x1099, 0x10b5, // 82546EB, GB
  0x1013, 0x1014, 0x1018, 0x1076, 0x1077, 0x1078, 0x107c, // 82541EI, ER, GI
  0x1019, 0x101a, 0x1075, // 82547EI, GI
];

// prettier-ignore
const PCI_EXPRESS_IDS: StaticArray<u16> = [
  0x105e, 0x105f, 0x1060, 0x10a4, 0x10a5, 0x10bc, 0x10d5, 0x10d9, 0x10da, // 82571EB, PT
  0x107d, 0x107e, 0x107f, 0x10b9, // 82572EI
  0x108b, 0x108c, 0x109a, // 82573E, L
  0x10d3, 0x10f6, // 82574L
  0x150c, // 82583V
];

// prettier-ignore
const CHIPSET_IDS: StaticArray<u16> = [
  0x153a, 0x153b, // I217-LM, V
  0x1559, 0x155a, 0x15a0, 0x15a1, 0x15a2, 0x15a3, // I218-V, LM
  0x156f, 0x1570, 0x15b7, 0x15b8, 0x15bd, 0x15be, 0x15d6, 0x15d7, 0x15d8, 0x15e3, // I219-LM, V
];

/** The generation of a function by its device ID 31:16 and vendor ID 15:0. */
export function generationOf(id: u32): Generation {
  if ((id & 0xffff) != INTEL) return Generation.Unsupported;
  const device = id >> 16;
  if (hasId(PCI_EXPRESS_IDS, device)) return Generation.PciExpress;
  if (hasId(PCI_IDS, device)) return Generation.Pci;
  if (hasId(CHIPSET_IDS, device)) return Generation.Chipset;
  return Generation.Unsupported;
}
