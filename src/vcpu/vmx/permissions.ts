import { physOf } from "../../metal";
import { takePages } from "../../memory/frames";
import { MsrIntercepts } from "../msr-intercepts";
import { setBit } from "../permission-bits";
import { PortIntercepts } from "../ports";

/** The I/O bitmaps A and B, for the lower and the upper half of the ports: one bit each (Intel SDM 3, 25.6.4). */
export class IoBitmaps extends PortIntercepts {
  private readonly bitmaps: usize = takePages(2);

  addressA(): u64 {
    return physOf(this.bitmaps);
  }
  addressB(): u64 {
    return physOf(this.bitmaps) + 4096;
  }

  intercept(port: u32, on: bool): void {
    setBit(this.bitmaps + (port >> 3), port & 7, on);
  }
}

/** Offset in the MSR bitmaps of the part for reads of low MSRs, 0 to 1FFFh (Intel SDM 3, 25.6.9). Others always exit. */
const HIGH: usize = 0x400;
const WRITES: usize = 0x800;

export class MsrBitmaps extends MsrIntercepts {
  private readonly bitmaps: usize = takePages(1);

  address(): u64 {
    return physOf(this.bitmaps);
  }

  interceptRead(index: u32): void {
    this.set(index, 0);
  }
  interceptWrite(index: u32): void {
    this.set(index, WRITES);
  }

  private set(index: u32, part: usize): void {
    const number = index & 0x1fff;
    setBit(this.bitmaps + part + (index >= 0xc000_0000 ? HIGH : 0) + (number >> 3), number & 7, true);
  }
}
