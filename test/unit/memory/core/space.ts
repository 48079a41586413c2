// The core's half of the hooks' tests: the guest's address space, with devices that ask the test.
import { BOOT_INFO, BootInfo } from "../../../../src/boot/info";
import { MmioDevice } from "../../../../src/memory/hooks";
import { guestSpace } from "../../../../src/memory/space";
import { NestedEntries } from "../../../../src/vcpu/svm/nested-entries";

export declare function deviceRead(device: u32, address: u64, width: u32): u64;
export declare function deviceWrite(device: u32, address: u64, width: u32, value: u64): void;

class TestDevice extends MmioDevice {
  constructor(private readonly number: u32) {
    super();
  }
  read(address: u64, width: u32): u64 {
    return deviceRead(this.number, address, width);
  }
  write(address: u64, width: u32, value: u64): void {
    deviceWrite(this.number, address, width, value);
  }
}

const DEVICES: i32 = 40;
const devices: StaticArray<TestDevice | null> = new StaticArray<TestDevice | null>(DEVICES);
for (let i = 0; i < DEVICES; i++) devices[i] = new TestDevice(i);

/** Builds the tables; returns the address of the top one. */
export function begin(blockBase: u64, blockSize: u64): u64 {
  const info = changetype<BootInfo>(BOOT_INFO);
  info.blockBase = blockBase;
  info.blockSize = blockSize;
  guestSpace.begin(new NestedEntries(), 4);
  return guestSpace.rootAddress();
}
export function hook(base: u64, length: u64, device: u32): bool {
  return guestSpace.hook(base, length, changetype<TestDevice>(changetype<usize>(devices[device])));
}
export function unhook(base: u64): void {
  guestSpace.unhook(base);
}
export function touches(base: u64, length: u64): bool {
  return guestSpace.hooks.touches(base, length);
}
export function mapOnDemand(address: u64): bool {
  return guestSpace.mapOnDemand(address);
}
export function read(address: u64, width: u32): u64 {
  return guestSpace.bus.read(address, width);
}
export function write(address: u64, width: u32, value: u64): void {
  guestSpace.bus.write(address, width, value);
}
