import { pause } from "../../../metal";
import { GONE, Register, Registers } from "./registers";

/** The MII communication register: a frame to the PHY, whose address is 1, and the answer. */
const enum Communication {
  Write = 1 << 26,
  Read = 2 << 26,
  Failed = 1 << 28,
  Busy = 1 << 29,
  PhyAddress = 1 << 21,
}
const REGISTER_SHIFT: u32 = 16;
/** A frame takes some 26 microseconds, a read of a register at least a tenth of one. */
const MAXIMUM_POLLS: u32 = 5000;

/** The MAC's own clock for the management interface, with and without a power management unit. */
const CLOCK_500_KHZ: u32 = 1 << 15;
const CLOCK_BASE: u32 = 0xc_0000;

/** Registers of IEEE 802.3, clause 22, and Broadcom's auxiliary status. */
export const enum Mii {
  Control = 0x00,
  Status = 0x01,
  Advertise = 0x04,
  Control1000 = 0x09,
  Auxiliary = 0x19,
}

/** The PHY's registers. Nothing else is to be asked of it meanwhile: its automatic polling stays off. */
export class Phy {
  constructor(private readonly registers: Registers) {}

  start(powerManagement: bool): void {
    this.registers.write(Register.MiMode, powerManagement ? CLOCK_500_KHZ : CLOCK_BASE);
  }

  /** The register's value, or GONE. */
  read(register: Mii): u32 {
    const answer = this.exchange(Communication.Read | (register << REGISTER_SHIFT));
    return answer & (Communication.Failed | Communication.Busy) ? GONE : answer & 0xffff;
  }
  write(register: Mii, value: u32): void {
    this.exchange(Communication.Write | (register << REGISTER_SHIFT) | value);
  }

  private exchange(command: u32): u32 {
    const registers = this.registers;
    registers.write(Register.MiCommunication, command | Communication.PhyAddress | Communication.Busy);
    let answer: u32 = GONE;
    for (let polls: u32 = 0; polls < MAXIMUM_POLLS && answer & Communication.Busy; polls++) {
      answer = registers.read(Register.MiCommunication);
      if (answer == GONE) break;
      pause();
    }
    return answer;
  }
}
