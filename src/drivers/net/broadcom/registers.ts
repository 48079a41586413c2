import { physRead32, physWrite32 } from "../../../metal";
import { PciFunction } from "../../../pci/config";

// Registers of the NetXtreme family on PCI Express. Names, places and the order of operations are those of Broadcom's
// guides: BCM5722 (5722-PG101-R), BCM5718 (5718-PG108-R) and BCM57785 (57785-PG105-R).

export const enum Register {
  /** Here to 0x84 also in configuration space. */
  MiscHostControl = 0x068,
  DmaReadWriteControl = 0x06c,
  MemoryWindowBase = 0x07c,
  MemoryWindowData = 0x084,
  /** Mailboxes: their lower halves. */
  InterruptMailbox = 0x204,
  StandardProducer = 0x26c,
  ReturnConsumer = 0x284,
  SendProducer = 0x304,
  MacMode = 0x400,
  MacStatus = 0x404,
  MacEvent = 0x408,
  MacAddressHigh = 0x410,
  MacAddressLow = 0x414,
  BackoffSeed = 0x438,
  ReceiveMtu = 0x43c,
  MiCommunication = 0x44c,
  MiStatus = 0x450,
  MiMode = 0x454,
  TransmitMode = 0x45c,
  TransmitLengths = 0x464,
  ReceiveMode = 0x468,
  ReceiveRules = 0x500,
  LowWatermarkReceive = 0x504,
  SendDataInitiator = 0x0c00,
  SendStatistics = 0x0c08,
  SendStatisticsMask = 0x0c0c,
  SendDataCompletion = 0x1000,
  SendBdSelector = 0x1400,
  SendBdInitiator = 0x1800,
  SendBdCompletion = 0x1c00,
  ReceiveListPlacement = 0x2000,
  ReceiveLists = 0x2010,
  ReceiveStatistics = 0x2014,
  ReceiveStatisticsMask = 0x2018,
  ReceiveDataBdInitiator = 0x2400,
  StandardRing = 0x2450,
  StandardRingSize = 0x2458,
  StandardRingNic = 0x245c,
  ReceiveDataCompletion = 0x2800,
  ReceiveBdInitiator = 0x2c00,
  StandardThreshold = 0x2c18,
  StandardReplenish = 0x2d00,
  ReceiveBdCompletion = 0x3000,
  CoalescingMode = 0x3c00,
  ReceiveTicks = 0x3c08,
  SendTicks = 0x3c0c,
  ReceiveCount = 0x3c10,
  SendCount = 0x3c14,
  ReceiveCountInIsr = 0x3c20,
  SendCountInIsr = 0x3c24,
  StatusBlock = 0x3c38,
  SendConsumer = 0x3cc0,
  MemoryArbiter = 0x4000,
  BufferManager = 0x4400,
  MbufReadLow = 0x4410,
  MbufReceiveLow = 0x4414,
  MbufHigh = 0x4418,
  ReadDma = 0x4800,
  ReadDmaReserved = 0x4900,
  WriteDma = 0x4c00,
  FlowThroughReset = 0x5c00,
  ModeControl = 0x6800,
  MiscConfiguration = 0x6804,
  LocalControl = 0x6808,
  FastBootPc = 0x6894,
  NvramArbitration = 0x7020,
}

/** In the mode register of every block. */
export const ENABLE: u32 = 1 << 1;
export const ATTENTION: u32 = 1 << 2;

export const enum HostControl {
  MaskInterrupt = 1 << 1,
  WordSwap = 1 << 3,
  StateWritable = 1 << 4,
  IndirectAccess = 1 << 7,
  TaggedStatus = 1 << 9,
}
export const enum ModeControl {
  WordSwapNonFrame = 1 << 2,
  ByteSwapData = 1 << 4,
  WordSwapData = 1 << 5,
  NoInterruptOnSend = 1 << 13,
  NoInterruptOnReceive = 1 << 14,
  HostStackUp = 1 << 16,
  HostSendRing = 1 << 17,
  /** The host has put the sum of the pseudo header where the checksum goes. */
  NoSendPseudoHeader = 1 << 20,
  InterruptOnMacAttention = 1 << 26,
}
export const enum MacMode {
  HalfDuplex = 1 << 1,
  PortMii = 1 << 2,
  PortGmii = 2 << 2,
  ReceiveStatistics = 1 << 11,
  SendStatistics = 1 << 14,
  TransmitDma = 1 << 21,
  ReceiveDma = 1 << 22,
  FrameHeaderDma = 1 << 23,
}
/** In the MAC's status and in its event enable register. */
export const LINK_CHANGED: u32 = 1 << 12;
export const enum ReceiveMode {
  Promiscuous = 1 << 8,
  KeepVlanTag = 1 << 10,
  Ipv6Checksum = 1 << 24,
}
export const enum CoalescingMode {
  Now = 1 << 3,
  StatusBlock32 = 1 << 8,
  ClearTicksOnReceive = 1 << 9,
  ClearTicksOnSend = 1 << 10,
}

/** Places in the card's own memory. */
export const enum CardMemory {
  SendRing = 0x100,
  ReturnRing = 0x200,
  FirmwareMailbox = 0xb50,
  Signature = 0xb54,
  Configuration = 0xb58,
  MacHigh = 0xc14,
  MacLow = 0xc18,
}
/** What drivers leave in the firmware mailbox, and the boot code's signature. */
export const MAGIC: u32 = 0x4b65_7654;

/** What a read gives when the card is gone. */
export const GONE: u32 = 0xffff_ffff;

/** The registers of one card, at a physical address that may move, and those of its PCI function. */
export class Registers {
  constructor(
    public base: u64,
    readonly pci: PciFunction,
  ) {}

  @inline read(register: u32): u32 {
    return physRead32(this.base + (register as u64));
  }
  @inline write(register: u32, value: u32): void {
    physWrite32(this.base + (register as u64), value);
  }
  /** The card has the write when this returns. */
  writeThrough(register: u32, value: u32): void {
    this.write(register, value);
    this.read(register);
  }
  /** A 64-bit register has its upper half first. */
  writePair(register: u32, value: u64): void {
    this.write(register, (value >> 32) as u32);
    this.write(register + 4, value as u32);
  }

  readMemory(address: u32): u32 {
    this.write(Register.MemoryWindowBase, address);
    const value = this.read(Register.MemoryWindowData);
    this.write(Register.MemoryWindowBase, 0);
    return value;
  }
  writeMemory(address: u32, value: u32): void {
    this.write(Register.MemoryWindowBase, address);
    this.write(Register.MemoryWindowData, value);
    this.write(Register.MemoryWindowBase, 0);
  }

  /** Whether the card is still on its bus. */
  present(): bool {
    return this.read(Register.MiscHostControl) != GONE;
  }
}
