import { MmioDevice } from "../memory/hooks";

/** An IOMMU's registers as the guest finds them: nothing is there. */
export class HiddenRegisters extends MmioDevice {
  read(_address: u64, _width: u32): u64 {
    return ~(0 as u64);
  }
  write(_address: u64, _width: u32, _value: u64): void {
    return;
  }
}
