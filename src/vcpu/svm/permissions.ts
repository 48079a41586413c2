import { physOf } from "../../metal";
import { takePages } from "../../memory/frames";
import { MsrIntercepts } from "../msr-intercepts";
import { setBit } from "../permission-bits";
import { PortIntercepts } from "../ports";

/** The I/O permissions map: one bit a port, and three more for accesses across the last (AMD APM 2, 15.10.1). */
export class IoPermissions extends PortIntercepts {
  private readonly map: usize = takePages(3);

  address(): u64 {
    return physOf(this.map);
  }

  intercept(port: u32, on: bool): void {
    setBit(this.map + (port >> 3), port & 7, on);
  }
}

/** Offset in the MSR permissions map of each range of MSRs it covers (AMD APM 2, 15.11). */
const enum MsrRange {
  Low = 0x0000,
  High = 0x0800,
  Amd = 0x1000,
}

/** The MSR permissions map: two bits an MSR, read and write. MSRs outside its ranges always cause exits. */
export class MsrPermissions extends MsrIntercepts {
  private readonly map: usize = takePages(2);

  address(): u64 {
    return physOf(this.map);
  }

  interceptRead(index: u32): void {
    this.set(index, 0);
  }
  interceptWrite(index: u32): void {
    this.set(index, 1);
  }

  private set(index: u32, access: u32): void {
    const bit = (index & 0x1fff) << 1;
    const range = index >= 0xc001_0000 ? MsrRange.Amd : index >= 0xc000_0000 ? MsrRange.High : MsrRange.Low;
    setBit(this.map + range + (bit >> 3), (bit & 7) + access, true);
  }
}
