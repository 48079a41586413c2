import { MmioDevice } from "../memory/hooks";
import { physRead16, physRead32, physRead8, physWrite16, physWrite8 } from "../metal";
import { processors } from "../vcpu/processors";
import { ApicRegister } from "./apic";

/** The page at which every processor finds its own local APIC. */
export class ApicPage extends MmioDevice {
  read(address: u64, width: u32): u64 {
    if (width == 4) return processors.current().apic.readRegister((address as u32) & 0xfff) as u64;
    if (width == 8) return (physRead32(address) as u64) | ((physRead32(address + 4) as u64) << 32);
    return (width == 1 ? physRead8(address) : physRead16(address)) as u64;
  }

  /**
   * Registers lie 16 bytes apart. What is written between them is undefined (AMD APM 2, 16.3.2), and some local APICs
   * take it for a write to the register below: it is dropped, and so is a part of a register that Sheer looks at.
   */
  write(address: u64, width: u32, value: u64): void {
    const offset = (address as u32) & 0xfff;
    if (offset & 15) return;
    if (width >= 4) processors.current().apic.writeRegister(offset, value as u32);
    else writePart(address, width, value);
  }
}

/** One or two bytes of a register. */
function writePart(address: u64, width: u32, value: u64): void {
  switch ((address as u32) & 0xfff) {
    case ApicRegister.Id:
    case ApicRegister.InterruptCommandLow:
    case ApicRegister.TaskPriority:
    case ApicRegister.LogicalDestination:
    case ApicRegister.DestinationFormat:
      return;
  }
  if (width == 1) physWrite8(address, value as u32);
  else physWrite16(address, value as u32);
}
