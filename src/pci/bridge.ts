import { log } from "../log/log";
import { isSleepPort } from "../power/guard";
import { TicketLock } from "../threads/lock";
import { configSpace, logAddress, NOWHERE, PciFunction } from "./config";
import { WatchedFunction } from "./function";
import { guestConfig } from "./guest";
import { Header, HeaderType } from "./header";
import { PciIdentity } from "./identity";
import { widthMask } from "./widths";

/** One for all: they answer without it, but for writes. */
const lock = new TicketLock();

/** A PCI-to-PCI bridge of the guest's, watched for the numbers that it gives to buses (PCI-to-PCI Bridge 1.2, 3.2.5.4). */
class Bridge extends WatchedFunction {
  private numbers: u32;
  /** Segment of the bus behind it, 15:8. */
  private readonly segment: u32;

  constructor(pci: PciFunction) {
    super(pci, lock);
    this.segment = (pci.address >> 16) << 8;
    this.numbers = pci.read32(Header.BusNumbers);
  }

  forwards(bus: u32): bool {
    return bus > this.secondary && bus <= ((this.numbers >> 16) & 0xff) && this.isHandedOn(bus);
  }

  /**
   * Not reached through it are bus 0, the root bus that it is on, and one that a bridge above does not hand on.
   * Whether the bridge itself can be reached does not matter. Nor does the subordinate number, which must not be less:
   * QEMU's bridges do not look at it for this bus.
   */
  busBehind(): u32 {
    const secondary = this.secondary;
    return secondary && this.isHandedOn(secondary) ? this.segment | secondary : NOWHERE;
  }

  /** Whether accesses for a bus come down to this bridge. */
  private isHandedOn(bus: u32): bool {
    const above = this.bridge;
    return above === null ? bus != ((this.pci.address >> 8) & 0xff) : above.forwards(bus);
  }

  private get secondary(): u32 {
    return (this.numbers >> 8) & 0xff;
  }

  /**
   * Two bridges with one bus between them would have the guest reach through one what Sheer looks for through the other:
   * a write to that end changes nothing.
   */
  write(offset: u32, width: u32, value: u32): void {
    if ((offset & ~3) != Header.BusNumbers || (offset & 3) + width > 4) return super.write(offset, width, value);
    const shift = (offset & 3) << 3;
    const written = (this.numbers & ~(widthMask(width) << shift)) | ((value & widthMask(width)) << shift);
    const secondary = (written >> 8) & 0xff;
    configSpace.lock.acquire();
    const address = this.pci.address;
    const taken = secondary && secondary != this.secondary && guestConfig.isBus(this.segment | secondary);
    if (address != NOWHERE && !taken) {
      configSpace.write(address, offset, width, value);
      this.learn(address);
      guestConfig.renumber();
    }
    configSpace.lock.release();
  }

  /** What numbers the bridge has taken; none if it was not reached. */
  private learn(address: u32): void {
    if (configSpace.read(address, Header.VendorId, 2) != 0xffff)
      this.numbers = configSpace.read(address, Header.BusNumbers, 4);
  }

  claims(bus: u32): bool {
    return (this.segment | this.secondary) == bus;
  }

  permits(_register: u32): bool {
    return true;
  }
}

/** PCIEXBAR, where Intel's host bridges have ECAM (Intel 3 Series Express Chipset Family, 5.1.14); QEMU's q35 is one. */
const enum Pciexbar {
  Low = 0x60,
  High = 0x64,
  Enable = 1 << 0,
}
const ECAM_BASE_BITS: u64 = ~0x0fff_ffff;

/** PMBASE, where Intel's chipsets place the registers of ACPI's power management, and its enable bit (ICH9, 13.1.13). */
const enum Pmbase {
  Base = 0x40,
  Control = 0x44,
}
const PMBASE_BITS: u32 = 0xffc0;
/** From there to the PM1 control register. */
const PM1_CONTROL: u32 = 4;
const INTEL: u32 = 0x8086;
const LAST_OF_BUS_0: u32 = 0xff;

/** A function with two dwords that place what Sheer, and the guest's own firmware tables, know where it is: they stay so. */
class PlacingFunction extends WatchedFunction {
  constructor(
    pci: PciFunction,
    private readonly first: u32,
    private readonly second: u32,
  ) {
    super(pci, lock);
  }

  permits(register: u32): bool {
    return register != this.first && register != this.second;
  }
}

function placesEcam(pci: PciFunction): bool {
  const low = pci.read32(Pciexbar.Low);
  const base = ((pci.read32(Pciexbar.High) as u64) << 32) | (low as u64);
  return (low & Pciexbar.Enable) != 0 && (base & ECAM_BASE_BITS) == configSpace.ecamPage(0);
}

function placesSleepControl(pci: PciFunction): bool {
  return pci.read16(Header.VendorId) == INTEL && isSleepPort((pci.read32(Pmbase.Base) & PMBASE_BITS) + PM1_CONTROL);
}

/** Watches a function that stays the guest's, if it can change where others, or registers that Sheer guards, are found. */
export function watch(identity: PciIdentity): void {
  const pci = new PciFunction(identity.address);
  if (identity.headerType == HeaderType.Bridge) watchBy(new Bridge(pci));
  else if (identity.address == 0 && placesEcam(pci)) watchBy(new PlacingFunction(pci, Pciexbar.Low, Pciexbar.High));
  else if (identity.address <= LAST_OF_BUS_0 && placesSleepControl(pci))
    watchBy(new PlacingFunction(pci, Pmbase.Base, Pmbase.Control));
}

function watchBy(watched: WatchedFunction): void {
  if (guestConfig.add(watched)) return;
  log.error("more bridges than Sheer can watch: ");
  logAddress(watched.pci.address);
  log.end();
}
