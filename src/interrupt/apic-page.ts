import { MmioDevice } from "../memory/hooks";
import { processors } from "../vcpu/processors";

/** The page at which every processor finds its own local APIC. */
export class ApicPage extends MmioDevice {
  read(address: u64, width: u32): u64 {
    return processors.current().apic.read(address, width);
  }
  write(address: u64, width: u32, value: u64): void {
    processors.current().apic.write(address, width, value);
  }
}
