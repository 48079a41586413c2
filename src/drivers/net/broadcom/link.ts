import { GONE, LINK_CHANGED, MacMode, Register, Registers } from "./registers";
import { Mii, Phy } from "./phy";

const enum Control {
  Restart = 1 << 9,
  Isolate = 1 << 10,
  PowerDown = 1 << 11,
  Autonegotiate = 1 << 12,
}
const STATUS_LINK: u32 = 1 << 2;
/** All speeds and duplexes of 10 and 100 Mb/s with pause, 1000 Mb/s full duplex. */
const ADVERTISE: u32 = 0x0de1;
const ADVERTISE_1000: u32 = 0x0200;

/** Speed and duplex, in the auxiliary status register. */
const RESULT: u32 = 7 << 8;
const enum Result {
  Half10 = 1 << 8,
  Half100 = 3 << 8,
  T4 = 4 << 8,
  Half1000 = 6 << 8,
}

const MAC_MODE: u32 =
  MacMode.TransmitDma |
  MacMode.ReceiveDma |
  MacMode.FrameHeaderDma |
  MacMode.ReceiveStatistics |
  MacMode.SendStatistics;

/** What the PHY has found at the other end of the cable, and the MAC set to it. The PHY is never reset. */
export class Link {
  up: bool = false;
  private readonly phy: Phy;

  constructor(private readonly registers: Registers) {
    this.phy = new Phy(registers);
  }

  /** Has the PHY look for a link, if it does not already. */
  start(powerManagement: bool): void {
    const phy = this.phy;
    phy.start(powerManagement);
    const control = phy.read(Mii.Control);
    const able = control & Control.Autonegotiate && !(control & (Control.Isolate | Control.PowerDown));
    if (!able) {
      phy.write(Mii.Advertise, ADVERTISE);
      phy.write(Mii.Control1000, ADVERTISE_1000);
      phy.write(Mii.Control, Control.Autonegotiate | Control.Restart);
    }
    this.refresh();
  }

  /** Sees whether there is a link now, and what it is like. */
  refresh(): void {
    const registers = this.registers;
    // Before the PHY is asked: a change that comes then is told anew.
    registers.write(Register.MacStatus, LINK_CHANGED);
    this.phy.read(Mii.Status); // shows a loss once, though the link may be back
    const status = this.phy.read(Mii.Status);
    this.up = status != GONE && (status & STATUS_LINK) != 0;
    registers.writeThrough(
      Register.MacMode,
      MAC_MODE | (this.up ? portMode(this.phy.read(Mii.Auxiliary)) : MacMode.PortGmii),
    );
  }
}

function portMode(auxiliary: u32): u32 {
  const result = auxiliary & RESULT;
  const half = result == Result.Half10 || result == Result.Half100 || result == Result.T4 || result == Result.Half1000;
  return (result >= (Result.Half1000 as u32) ? MacMode.PortGmii : MacMode.PortMii) | (half ? MacMode.HalfDuplex : 0);
}
