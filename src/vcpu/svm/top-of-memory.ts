import { guestSpace } from "../../memory/space";
import { tryRdmsr } from "../../metal";
import { MsrIntercepts } from "../msr-intercepts";

const MSR_SYSCFG: u32 = 0xc001_0010;
const MSR_TOP_MEM2: u32 = 0xc001_001d;
/** Of SYSCFG: TOP_MEM2 counts, and memory between 4 GiB and it is write-back where no MTRR says otherwise. */
const TOM2_ENABLED: u64 = 1 << 21;
const TOM2_FORCES_WRITE_BACK: u64 = 1 << 22;
const ADDRESS: u64 = 0x000f_ffff_ff80_0000;

/** AMD's registers that have a say in memory types besides the MTRRs (AMD APM 2, 3.2.1 and 7.9.4). */
class TopOfMemory {
  private systemConfiguration: u64 = 0;
  private topMem2: u64 = 0;

  /** Reads what the firmware has left in them, and has writes of the guest cause exits. */
  begin(intercepts: MsrIntercepts): void {
    const result = memory.data(8, 8);
    if (tryRdmsr(MSR_SYSCFG, result)) this.systemConfiguration = load<u64>(result);
    if (tryRdmsr(MSR_TOP_MEM2, result)) this.topMem2 = load<u64>(result);
    intercepts.interceptWrite(MSR_SYSCFG);
    intercepts.interceptWrite(MSR_TOP_MEM2);
    this.apply();
  }

  has(index: u32): bool {
    return index == MSR_SYSCFG || index == MSR_TOP_MEM2;
  }

  /** The guest has set one of them. */
  set(index: u32, value: u64): void {
    if (index == MSR_SYSCFG) this.systemConfiguration = value;
    else this.topMem2 = value;
    this.apply();
  }

  private apply(): void {
    const both = TOM2_ENABLED | TOM2_FORCES_WRITE_BACK;
    guestSpace.setWriteBackEnd((this.systemConfiguration & both) == both ? this.topMem2 & ADDRESS : 0);
  }
}

export const topOfMemory = new TopOfMemory();
