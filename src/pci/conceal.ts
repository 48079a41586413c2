import { detachFirmwareDriver } from "../boot/drivers";
import { CONCEAL } from "../config/device-rules";
import { log } from "../log/log";
import { TicketLock } from "../threads/lock";
import { logAddress, PciFunction } from "./config";
import { DeviceDriver } from "./driver";
import { Command, Header, HeaderType } from "./header";
import { PciIdentity } from "./identity";
import { AbsentFunction } from "./function";
import { guestConfig } from "./guest";

/**
 * Makes functions vanish: their configuration space reads as if nothing were there, and with decoding and bus mastering
 * off neither their registers nor their memory answer, nor do they reach memory or interrupt. A bridge takes what is
 * behind it along. For what rules say only: it has no list of its own.
 */
export class ConcealDriver extends DeviceDriver {
  /** One for all: nothing of a concealed function ever changes. */
  private readonly lock: TicketLock = new TicketLock();

  constructor() {
    super(CONCEAL);
  }

  supports(_identity: PciIdentity): bool {
    return false;
  }

  attach(identity: PciIdentity): bool {
    const address = identity.address;
    detachFirmwareDriver(address >> 8, (address >> 3) & 31, address & 7);
    const pci = new PciFunction(address);
    const hidden = guestConfig.begin() && guestConfig.add(new AbsentFunction(pci, this.lock));
    if (hidden) silence(pci, identity.headerType);
    const line = hidden ? log.info("concealed: ") : log.error("cannot be concealed: ");
    logAddress(address);
    line.end();
    return hidden;
  }
}

function silence(pci: PciFunction, headerType: u32): void {
  pci.write16(Header.Command, Command.InterruptDisable);
  if (headerType == HeaderType.Bridge) pci.write32(Header.BusNumbers, 0);
}
