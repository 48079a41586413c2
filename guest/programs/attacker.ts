import { PciFunction } from "../../src/pci/config";
import { Command, Header } from "../../src/pci/header";
import { FunctionScan } from "../../src/pci/scan";

/** What `get` answers if the device does not come to the address. */
export const OTHER: u64 = 0x0123_4567_89ab_cdef;
/** How often a device is looked at before it counts as not done. */
export const PATIENCE: u32 = 20_000_000;

/** A device of the guest's that reaches memory by itself, at addresses that it is told. */
export abstract class Attacker {
  /** Finds the device and sets it up. */
  abstract begin(): bool;
  /** Has the device write `value`, several times over, to an address; false if it does not end. */
  abstract put(address: u64, value: u64): bool;
  /** What the device finds at an address. */
  abstract get(address: u64): u64;
}

/** Finds a function by its vendor and device, and turns it on; where its registers are, or 0. */
export function turnOn(id: u32): u64 {
  const scan = new FunctionScan();
  while (scan.advance()) {
    if (scan.identity.id != id) continue;
    const pci = new PciFunction(scan.identity.address);
    pci.write16(Header.Command, Command.MemorySpace | Command.BusMaster);
    return (pci.read32(Header.Bar0) & ~15) as u64;
  }
  return 0;
}
