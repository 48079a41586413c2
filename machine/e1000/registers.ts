// Register names, offsets and bits: Intel PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual
// (8254x), chapter 13, and Intel 82574 GbE Controller Family data sheet, chapter 10.

export const Reg = {
  CTRL: 0x0000,
  STATUS: 0x0008,
  EECD: 0x0010,
  EERD: 0x0014,
  CTRL_EXT: 0x0018,
  MDIC: 0x0020,
  ICR: 0x00c0,
  ITR: 0x00c4,
  ICS: 0x00c8,
  IMS: 0x00d0,
  IMC: 0x00d8,
  EIAC: 0x00dc,
  IAM: 0x00e0,
  IVAR: 0x00e4,
  RCTL: 0x0100,
  TCTL: 0x0400,
  EXTCNF_CTRL: 0x0f00,
  IOSFPC: 0x0f28,
  PBA: 0x1000,
  PBECCSTS: 0x100c,
  RDBAL: 0x2800,
  RDBAH: 0x2804,
  RDLEN: 0x2808,
  RDH: 0x2810,
  RDT: 0x2818,
  RDTR: 0x2820,
  RXDCTL: 0x2828,
  RADV: 0x282c,
  TDBAL: 0x3800,
  TDBAH: 0x3804,
  TDLEN: 0x3808,
  TDH: 0x3810,
  TDT: 0x3818,
  TIDV: 0x3820,
  TXDCTL: 0x3828,
  TADV: 0x382c,
  TARC0: 0x3840,
  TXDCTL1: 0x3928,
  RXCSUM: 0x5000,
  RFCTL: 0x5008,
  MTA: 0x5200,
  RAL0: 0x5400,
  RAH0: 0x5404,
  VFTA: 0x5600,
  SWSM: 0x5b50,
  FEXTNVM11: 0x5bbc,
} as const;

export const Ctrl = {
  GioMasterDisable: 1 << 2,
  SetLinkUp: 1 << 6,
  MemoryErrors: 1 << 19,
  Reset: 1 << 26,
  VlanMode: 1 << 30,
  PhyReset: 0x8000_0000,
} as const;
export const Status = {
  FullDuplex: 1 << 0,
  LinkUp: 1 << 1,
  Speed1000: 2 << 6,
  LanInitDone: 1 << 9,
  GioMasterEnable: 1 << 19,
} as const;

/** Interrupt causes. */
export const Icr = {
  Txdw: 1 << 0,
  Txqe: 1 << 1,
  Lsc: 1 << 2,
  Rxdmt0: 1 << 4,
  Rxo: 1 << 6,
  Rxt0: 1 << 7,
  Mdac: 1 << 9,
  Rxq0: 1 << 20,
  Txq0: 1 << 22,
  Other: 1 << 24,
  Asserted: 0x8000_0000,
} as const;

export const Rctl = {
  Enable: 1 << 1,
  StoreBad: 1 << 2,
  UnicastPromiscuous: 1 << 3,
  MulticastPromiscuous: 1 << 4,
  LongPackets: 1 << 5,
  AcceptBroadcast: 1 << 15,
  VlanFilter: 1 << 18,
  BufferSizeExtension: 1 << 25,
  StripCrc: 1 << 26,
} as const;

export const Tctl = { Enable: 1 << 1, PadShort: 1 << 3 } as const;
export const Rxcsum = { IpOffload: 1 << 8, TcpOffload: 1 << 9 } as const;
export const RFCTL_EXTENDED_STATUS = 1 << 15;
export const RAH_VALID = 0x8000_0000;

/** Status bits of a receive descriptor (8254x manual, 3.2.3.1; 82574 data sheet, 7.1.4). */
export const RxStatus = {
  Done: 1 << 0,
  EndOfPacket: 1 << 1,
  IgnoreChecksum: 1 << 2,
  Vlan: 1 << 3,
  Tcp: 1 << 5,
  Ip: 1 << 6,
};
export const RxError = { Crc: 1 << 0, Tcp: 1 << 5, Ip: 1 << 6, Data: 1 << 7 } as const;

/** Command bits of a transmit descriptor, byte 11 (8254x manual, 3.3.3 and following). */
export const TxCommand = {
  EndOfPacket: 1 << 0,
  InsertFcs: 1 << 1,
  InsertChecksum: 1 << 2,
  SegmentTcp: 1 << 2,
  ReportStatus: 1 << 3,
  Extension: 1 << 5,
  InsertVlan: 1 << 6,
  InterruptDelay: 1 << 7,
} as const;

/** Registers that lie at a fixed distance for each address filter. */
export const RECEIVE_ADDRESSES = 16;
export const MULTICAST_WORDS = 128;
/** First and last statistics register; all are cleared by a read. */
export const STATISTICS = { first: 0x4000, last: 0x4124 } as const;
