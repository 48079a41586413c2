import { pause, physRead32, physWrite32 } from "../../../metal";

// Registers of the 8254x ("PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual", chapter 13)
// and of the 8257x (82574 datasheet, chapter 10), which keep the same places. Sections below are of the latter.

export const enum Register {
  CTRL = 0x0000,
  STATUS = 0x0008,
  EECD = 0x0010,
  EERD = 0x0014,
  CTRL_EXT = 0x0018,
  ICR = 0x00c0,
  ITR = 0x00c4,
  ICS = 0x00c8,
  IMS = 0x00d0,
  IMC = 0x00d8,
  RCTL = 0x0100,
  TCTL = 0x0400,
  TIPG = 0x0410,
  EXTCNF_CTRL = 0x0f00,
  IOSFPC = 0x0f28,
  PBECCSTS = 0x100c,
  RDBAL = 0x2800,
  RDBAH = 0x2804,
  RDLEN = 0x2808,
  RDH = 0x2810,
  RDT = 0x2818,
  RDTR = 0x2820,
  RADV = 0x282c,
  TDBAL = 0x3800,
  TDBAH = 0x3804,
  TDLEN = 0x3808,
  TDH = 0x3810,
  TDT = 0x3818,
  TIDV = 0x3820,
  TXDCTL = 0x3828,
  TADV = 0x382c,
  TARC0 = 0x3840,
  TXDCTL1 = 0x3928,
  TARC1 = 0x3940,
  RXCSUM = 0x5000,
  RFCTL = 0x5008,
  MTA = 0x5200,
  RAL0 = 0x5400,
  RAH0 = 0x5404,
  GCR = 0x5b00,
  GCR2 = 0x5b64,
  FEXTNVM11 = 0x5bbc,
}

/** Device control (10.2.2.1). */
export const enum Ctrl {
  FD = 1 << 0,
  /** GIO master disable: only where the card is on PCI Express. */
  GioMasterDisable = 1 << 2,
  LRST = 1 << 3,
  ASDE = 1 << 5,
  SLU = 1 << 6,
  ILOS = 1 << 7,
  FRCSPD = 1 << 11,
  FRCDPLX = 1 << 12,
  RST = 1 << 26,
  VME = 1 << 30,
}
/** Device status (10.2.2.2). */
export const enum Status {
  LU = 1 << 1,
  GioMasterEnable = 1 << 19,
}
/** Interrupt causes, in ICR, ICS, IMS and IMC alike (10.2.4.1). */
export const enum Interrupt {
  TXDW = 1 << 0,
  LSC = 1 << 2,
  RXO = 1 << 6,
  RXT0 = 1 << 7,
}
/** Receive control (10.2.5.1). BSIZE and BSEX stay 0: buffers of 2 KiB. */
export const enum Rctl {
  EN = 1 << 1,
  UPE = 1 << 3,
  MPE = 1 << 4,
  BAM = 1 << 15,
  SECRC = 1 << 26,
}
/** Transmit control (10.2.6.1): collision threshold 15, collision distance 64 byte times. */
export const enum Tctl {
  EN = 1 << 1,
  PSP = 1 << 3,
  CT = 0x0f << 4,
  COLD = 0x3f << 12,
  /** Several read requests at once; reserved on the 8254x. */
  MULR = 1 << 28,
}
/** Transmit descriptor control (10.2.6.11): counted in descriptors, each written back when done. Bit 22 must be set. */
export const enum Txdctl {
  WTHRESH1 = 1 << 16,
  CountDescriptors = 1 << 22,
  GRAN = 1 << 24,
}
/** Receive checksum control (10.2.5.15). */
export const enum Rxcsum {
  IPOFLD = 1 << 8,
  TUOFLD = 1 << 9,
}

const ADDRESS_VALID: u32 = 0x8000_0000;
/** What a read gives when the card is gone. */
const GONE: u32 = 0xffff_ffff;

/** The registers of one card, at a physical address that may move. */
export class Registers {
  constructor(public base: u64) {}

  @inline read(register: u32): u32 {
    return physRead32(this.base + (register as u64));
  }
  @inline write(register: u32, value: u32): void {
    physWrite32(this.base + (register as u64), value);
  }
  set(register: u32, bits: u32): void {
    this.write(register, this.read(register) | bits);
  }
  clear(register: u32, bits: u32): void {
    this.write(register, this.read(register) & ~bits);
  }
  /** Polls at most so often until the bits of `field` read as `value`; false if they never do. */
  waitFor(register: u32, field: u32, value: u32, polls: u32): bool {
    for (; polls; polls--) {
      const found = this.read(register);
      if ((found & field) == value) return true;
      if (found == GONE) return false;
      pause();
    }
    return false;
  }
  /** Whether the card is still on its bus. */
  present(): bool {
    return this.read(Register.STATUS) != GONE;
  }

  writePair(register: u32, value: u64): void {
    this.write(register, value as u32);
    this.write(register + 4, (value >> 32) as u32);
  }

  /** The first receive address (10.2.5.22): the card's MAC, or 0 while there is none. */
  readMac(): u64 {
    const high = this.read(Register.RAH0);
    if (!(high & ADDRESS_VALID) || high == GONE) return 0;
    return (((high & 0xffff) as u64) << 32) | (this.read(Register.RAL0) as u64);
  }
  writeMac(mac: u64): void {
    this.write(Register.RAL0, mac as u32);
    this.write(Register.RAH0, ((mac >> 32) as u32) | ADDRESS_VALID);
  }
}
