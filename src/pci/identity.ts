import { Selector } from "../config/device-rules";
import { NOWHERE, PciFunction } from "./config";
import { Header, HeaderType, MULTIFUNCTION } from "./header";

/** What a function says of itself, by which rules and drivers know it. */
export class PciIdentity {
  /** Segment 31:16, bus 15:8, device 7:3, function 2:0, as the firmware has numbered the buses. */
  address: u32 = 0;
  /** Device ID 31:16, vendor ID 15:0. */
  id: u32 = 0;
  /** Subsystem ID 31:16, subsystem vendor ID 15:0; 0 where the header has none. */
  subsystem: u32 = 0;
  /** Base class 15:8, subclass 7:0. */
  classCode: u32 = 0;
  interface: u32 = 0;
  revision: u32 = 0;
  headerType: u32 = 0;
  multifunction: bool = false;
  private readonly pci: PciFunction = new PciFunction(NOWHERE);

  /** Reads what the function at an address says; false if there is none. */
  read(address: u32): bool {
    const pci = this.pci;
    this.address = pci.address = address;
    this.id = pci.read32(Header.VendorId);
    if ((this.id & 0xffff) == 0xffff) return false;
    const revision = pci.read32(Header.RevisionId);
    this.classCode = revision >> 16;
    this.interface = (revision >> 8) & 0xff;
    this.revision = revision & 0xff;
    const header = pci.read8(Header.HeaderType);
    this.headerType = header & ~MULTIFUNCTION;
    this.multifunction = (header & MULTIFUNCTION) != 0;
    this.subsystem = this.headerType == HeaderType.Endpoint ? pci.read32(Header.SubsystemVendorId) : 0;
    return true;
  }
}

/** The longest text: 0000:00:00.0. */
const LONGEST: usize = 16;

/** What rules compare: parts of an identity as text, in lower case. */
export class IdentityText {
  readonly start: usize = heap.alloc(LONGEST);
  length: u32 = 0;

  /** Writes the text of one selector; SupportedBy and Number have none. */
  write(identity: PciIdentity, selector: Selector): void {
    this.length = 0;
    switch (selector) {
      case Selector.Slot:
        return this.slot(identity.address);
      case Selector.Class:
        return this.hex(identity.classCode, 4);
      case Selector.Id:
        return this.pair(identity.id);
      case Selector.Subsystem:
        return this.pair(identity.subsystem);
      case Selector.Revision:
        return this.hex(identity.revision, 2);
      case Selector.Interface:
        return this.hex(identity.interface, 2);
      case Selector.Header:
        return this.hex(identity.headerType, 2);
    }
  }

  /** A number without leading zeros, for the selector of that name. */
  decimal(value: u32): void {
    this.length = 0;
    let unit: u32 = 1;
    while (value / unit >= 10) unit *= 10;
    for (; unit; unit /= 10) this.put(48 + ((value / unit) % 10));
  }

  private slot(address: u32): void {
    if (address >> 16) {
      this.hex(address >> 16, 4);
      this.put(0x3a);
    }
    this.hex((address >> 8) & 0xff, 2);
    this.put(0x3a);
    this.hex((address >> 3) & 31, 2);
    this.put(0x2e);
    this.hex(address & 7, 1);
  }

  private pair(id: u32): void {
    this.hex(id & 0xffff, 4);
    this.put(0x3a);
    this.hex(id >> 16, 4);
  }

  private hex(value: u32, digits: u32): void {
    for (let i = digits; i; i--) {
      const digit = (value >> ((i - 1) << 2)) & 15;
      this.put(digit < 10 ? 48 + digit : 87 + digit);
    }
  }

  private put(code: u32): void {
    store<u8>(this.start + this.length++, code as u8);
  }
}
