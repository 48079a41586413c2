// Registers of the NetXtreme family by the names that Broadcom's guides give them: BCM5722 Programmer's Guide
// (5722-PG101-R), BCM5718 Programmer's Guide (5718-PG108-R) and BCM57785 Programmer's Guide (57785-PG105-R).

export const Reg = {
  // These are in configuration space as well.
  MiscHostControl: 0x068,
  DmaReadWriteControl: 0x06c,
  MemoryWindowBase: 0x07c,
  MemoryWindowData: 0x084,
  // The lower halves of the high-priority mailboxes.
  InterruptMailbox: 0x204,
  StandardProducer: 0x26c,
  ReturnConsumer: 0x284,
  SendProducer: 0x304,
  MacMode: 0x400,
  MacStatus: 0x404,
  MacEvent: 0x408,
  MacAddress: 0x410,
  BackoffSeed: 0x438,
  ReceiveMtu: 0x43c,
  MiCommunication: 0x44c,
  MiStatus: 0x450,
  MiMode: 0x454,
  TransmitMode: 0x45c,
  TransmitStatus: 0x460,
  TransmitLengths: 0x464,
  ReceiveMode: 0x468,
  ReceiveRules: 0x500,
  LowWatermarkReceive: 0x504,
  SendDataInitiator: 0x0c00,
  SendStatistics: 0x0c08,
  SendStatisticsMask: 0x0c0c,
  SendDataCompletion: 0x1000,
  SendBdSelector: 0x1400,
  SendBdInitiator: 0x1800,
  SendBdCompletion: 0x1c00,
  ReceiveListPlacement: 0x2000,
  ReceiveLists: 0x2010,
  ReceiveStatistics: 0x2014,
  ReceiveStatisticsMask: 0x2018,
  ReceiveDataBdInitiator: 0x2400,
  StandardRing: 0x2450,
  StandardRingLow: 0x2454,
  StandardRingSize: 0x2458,
  StandardRingNic: 0x245c,
  ReceiveDataCompletion: 0x2800,
  ReceiveBdInitiator: 0x2c00,
  StandardThreshold: 0x2c18,
  StandardReplenish: 0x2d00,
  ReceiveBdCompletion: 0x3000,
  CoalescingMode: 0x3c00,
  ReceiveTicks: 0x3c08,
  SendTicks: 0x3c0c,
  ReceiveCount: 0x3c10,
  SendCount: 0x3c14,
  ReceiveCountInIsr: 0x3c20,
  SendCountInIsr: 0x3c24,
  StatusBlock: 0x3c38,
  StatusBlockLow: 0x3c3c,
  ReturnProducer: 0x3c80,
  SendConsumer: 0x3cc0,
  MemoryArbiter: 0x4000,
  BufferManager: 0x4400,
  MbufReadLow: 0x4410,
  MbufReceiveLow: 0x4414,
  MbufHigh: 0x4418,
  ReadDma: 0x4800,
  ReadDmaReserved: 0x4900,
  WriteDma: 0x4c00,
  FlowThroughReset: 0x5c00,
  ModeControl: 0x6800,
  MiscConfiguration: 0x6804,
  LocalControl: 0x6808,
  FastBootPc: 0x6894,
  NvramArbitration: 0x7020,
} as const;
export const KNOWN: ReadonlySet<number> = new Set([
  ...Object.values(Reg),
  ...Array.from({ length: 8 }, (_, i) => Reg.MacAddress + 4 * i),
]);

export const ENABLE = 1 << 1;
export const HostControl = {
  Mask: 1 << 1,
  ByteSwap: 1 << 2,
  WordSwap: 1 << 3,
  RegisterSwap: 1 << 6,
  Tagged: 1 << 9,
} as const;
export const MacMode = {
  HalfDuplex: 1 << 1,
  PortMask: 3 << 2,
  PortMii: 1 << 2,
  PortGmii: 2 << 2,
  TransmitDma: 1 << 21,
  ReceiveDma: 1 << 22,
  FrameHeaderDma: 1 << 23,
} as const;
export const LINK_CHANGED = 1 << 12;
export const ReceiveMode = { Promiscuous: 1 << 8, KeepVlan: 1 << 10, Ipv6Checksum: 1 << 24 } as const;
/** Mode control: how data are laid out in memory, who has the send ring, what interrupts. */
export const Mode = {
  ByteSwapNonFrame: 1 << 1,
  WordSwapNonFrame: 1 << 2,
  ByteSwapData: 1 << 4,
  WordSwapData: 1 << 5,
  NoInterruptOnSend: 1 << 13,
  NoInterruptOnReceive: 1 << 14,
  HostStackUp: 1 << 16,
  HostSendRing: 1 << 17,
  NoSendPseudoHeader: 1 << 20,
  NoReceivePseudoHeader: 1 << 23,
  MacAttention: 1 << 26,
} as const;
export const MiscConfiguration = { Reset: 1 << 0, Prescaler: 0xfe, KeepPhyPower: 1 << 26, KeepPcie: 1 << 29 } as const;
export const CoalescingMode = {
  Now: 1 << 3,
  ClearReceiveTicks: 1 << 9,
  ClearSendTicks: 1 << 10,
  NoInterruptOnNow: 1 << 11,
} as const;

/** Places in the card's own memory. */
export const Sram = {
  SendRing: 0x100,
  ReturnRing: 0x200,
  FirmwareMailbox: 0xb50,
  ConfigSignature: 0xb54,
  Config: 0xb58,
  MacMailbox: 0xc14,
  Size: 0x8000,
} as const;
/** What the driver leaves in the firmware mailbox before it resets the card ("KevT"). */
export const MAGIC = 0x4b65_7654;

/** Flags of a send buffer descriptor. */
export const SendFlag = { Checksum: 1 << 0, End: 1 << 2, Vlan: 1 << 6, CoalesceNow: 1 << 7, Lso: 3 << 8 } as const;
/** Flags of a receive buffer descriptor. */
export const ReceiveFlag = {
  End: 1 << 2,
  Vlan: 1 << 6,
  Error: 1 << 10,
  IpChecksum: 1 << 12,
  TransportChecksum: 1 << 13,
} as const;
/** Errors, in bits 31:16 of a receive buffer descriptor's seventh word. */
export const ReceiveError = {
  Crc: 1 << 16,
  Collision: 1 << 17,
  LinkLost: 1 << 18,
  PhyDecode: 1 << 19,
  OddNibble: 1 << 20,
  MacAbort: 1 << 21,
  TooShort: 1 << 22,
  NoResources: 1 << 23,
  Giant: 1 << 24,
} as const;

export const RING_ENTRIES = 512;
export const SEND_BD = 16;
export const RECEIVE_BD = 32;
