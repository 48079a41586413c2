import { MmioDevice } from "../memory/hooks";
import { processors } from "../vcpu/processors";
import { APIC_PAGE } from "./apic";

/** The page at which every processor finds its own local APIC, or nothing while that is disabled or in x2APIC mode. */
export class ApicPage extends MmioDevice {
  read(address: u64, width: u32): u64 {
    const apic = processors.current().apic;
    return apic.page == APIC_PAGE ? apic.read(address, width) : ~0;
  }
  write(address: u64, width: u32, value: u64): void {
    const apic = processors.current().apic;
    if (apic.page == APIC_PAGE) apic.write(address, width, value);
  }
}
