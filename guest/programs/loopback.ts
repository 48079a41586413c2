import { Rctl, Register, Registers, Tctl } from "../../src/drivers/net/intel/registers";
import { pause, physOf, physRead64, physWrite64 } from "../../src/metal";
import { takePages } from "../../src/memory/frames";
import { Attacker, OTHER, PATIENCE, turnOn } from "./attacker";

const I82540EM: u32 = 0x100e_8086;

/** MDI control (8254x manual, 13.4.8): a write to a register of the first PHY. */
const MDIC: u32 = 0x20;
const PHY_1: u32 = 1 << 21;
const MDI_WRITE: u32 = 1 << 26;
/** PHY control is register 0 (IEEE 802.3, 22.2.4.1): loopback, full duplex, 1000 Mb/s. */
const PHY_LOOPBACK: u32 = 0x4140;

/** Of legacy descriptors' second quadword (8254x manual, 3.2.3 and 3.3.3). */
const END_OF_PACKET: u64 = 1 << 24;
const INSERT_FCS: u64 = 1 << 25;
const REPORT_STATUS: u64 = 1 << 27;
const DONE: u64 = 1 << 32;

/** The fewest descriptors that a ring may have, and their size. */
const DESCRIPTORS: u32 = 8;
const SIZE: u32 = 16;
const LENGTH: u64 = 64;
/** A card whose receiver has just been turned on may lose frames: each is sent anew after so many looks. */
const LOOKS: u32 = 1000;

/** Intel's 82540EM, whose PHY hands back each frame that it is to send. */
export class Loopback extends Attacker {
  private registers: Registers = new Registers(0);
  private readonly rings: usize = takePages(2);
  /** The next descriptor of each ring. */
  private receiving: u32 = 0;
  private sending: u32 = 0;

  begin(): bool {
    const base = turnOn(I82540EM);
    this.registers = new Registers(base);
    if (!base) return false;
    this.write(MDIC, PHY_LOOPBACK | PHY_1 | MDI_WRITE);
    this.write(Register.RDBAL, this.receiveRing as u32);
    this.write(Register.RDBAH, (this.receiveRing >> 32) as u32);
    this.write(Register.RDLEN, DESCRIPTORS * SIZE);
    this.write(Register.TDBAL, this.transmitRing as u32);
    this.write(Register.TDBAH, (this.transmitRing >> 32) as u32);
    this.write(Register.TDLEN, DESCRIPTORS * SIZE);
    this.write(Register.RDH, 0);
    this.write(Register.RDT, 0);
    this.write(Register.TDH, 0);
    this.write(Register.TDT, 0);
    this.write(Register.RCTL, Rctl.EN | Rctl.UPE | Rctl.MPE | Rctl.BAM);
    this.write(Register.TCTL, Tctl.EN | Tctl.PSP);
    return true;
  }

  put(address: u64, value: u64): bool {
    const page = physOf(takePages(1));
    for (let i: u64 = 0; i < LENGTH; i += 8) physWrite64(page + i, value);
    return this.copy(page, address);
  }

  get(address: u64): u64 {
    const page = physOf(takePages(1));
    return this.put(page, OTHER) && this.copy(address, page) ? physRead64(page) : OTHER;
  }

  /** Sends a frame of what lies at one address and receives it at another. */
  private copy(from: u64, to: u64): bool {
    const descriptor = this.receiveRing + ((this.receiving * SIZE) as u64);
    physWrite64(descriptor, to);
    physWrite64(descriptor + 8, 0);
    this.receiving = (this.receiving + 1) % DESCRIPTORS;
    this.write(Register.RDT, this.receiving);
    for (let polls: u32 = 0; polls < PATIENCE; polls++) {
      if (polls % LOOKS == 0) this.send(from);
      if (physRead64(descriptor + 8) & DONE) return true;
      pause();
    }
    return false;
  }

  private send(from: u64): void {
    const descriptor = this.transmitRing + ((this.sending * SIZE) as u64);
    physWrite64(descriptor, from);
    physWrite64(descriptor + 8, LENGTH | END_OF_PACKET | INSERT_FCS | REPORT_STATUS);
    this.sending = (this.sending + 1) % DESCRIPTORS;
    this.write(Register.TDT, this.sending);
  }

  private get receiveRing(): u64 {
    return physOf(this.rings);
  }
  private get transmitRing(): u64 {
    return physOf(this.rings) + 4096;
  }
  private write(register: u32, value: u32): void {
    this.registers.write(register, value);
  }
}
