import { MmioHooks } from "../memory/hooks";
import { guestMemory } from "../memory/guest";
import {
  physRead16,
  physRead32,
  physRead64,
  physRead8,
  physWrite16,
  physWrite32,
  physWrite64,
  physWrite8,
} from "../metal";

/** Where an instruction's memory accesses go, by guest-physical address. Widths are 1, 2, 4 or 8 bytes, within a page. */
export abstract class MemoryBus {
  abstract read(address: u64, width: u32): u64;
  abstract write(address: u64, width: u32, value: u64): void;
}

/**
 * Guest-physical memory as the guest sees it: devices where there are hooks, plain memory elsewhere. An access that
 * one device holds entirely reaches it whole, whatever its alignment; one across the border of a hook goes by bytes.
 */
export class GuestBus extends MemoryBus {
  constructor(private readonly hooks: MmioHooks) {
    super();
  }

  read(address: u64, width: u32): u64 {
    const device = this.hooks.find(address);
    if (device !== null && this.hooks.find(address + (width as u64) - 1) === device) return device.read(address, width);
    if (!this.hooks.touches(address, width as u64)) return readPlain(address, width);
    let value: u64 = 0;
    for (let i: u32 = 0; i < width; i++) value |= this.readByte(address + (i as u64)) << ((i as u64) << 3);
    return value;
  }

  write(address: u64, width: u32, value: u64): void {
    const device = this.hooks.find(address);
    if (device !== null && this.hooks.find(address + (width as u64) - 1) === device) {
      device.write(address, width, value);
    } else if (!this.hooks.touches(address, width as u64)) {
      writePlain(address, width, value);
    } else {
      for (let i: u32 = 0; i < width; i++) this.writeByte(address + (i as u64), (value >> ((i as u64) << 3)) & 0xff);
    }
  }

  private readByte(address: u64): u64 {
    const device = this.hooks.find(address);
    return device !== null ? device.read(address, 1) & 0xff : readPlain(address, 1);
  }

  private writeByte(address: u64, value: u64): void {
    const device = this.hooks.find(address);
    if (device !== null) device.write(address, 1, value);
    else writePlain(address, 1, value);
  }
}

/** Reads 1, 2, 4 or 8 bytes of the guest's memory. Sheer's own block reads as zero, as the guest sees it there. */
export function readPlain(address: u64, width: u32): u64 {
  if (!guestMemory.permits(address, width as u64)) return 0;
  switch (width) {
    case 1:
      return physRead8(address) as u64;
    case 2:
      return physRead16(address) as u64;
    case 4:
      return physRead32(address) as u64;
    default:
      return physRead64(address);
  }
}

/** Writes 1, 2, 4 or 8 bytes of the guest's memory; a write to Sheer's own block is dropped. */
export function writePlain(address: u64, width: u32, value: u64): void {
  if (!guestMemory.permits(address, width as u64)) return;
  switch (width) {
    case 1:
      return physWrite8(address, (value as u32) & 0xff);
    case 2:
      return physWrite16(address, (value as u32) & 0xffff);
    case 4:
      return physWrite32(address, value as u32);
    default:
      return physWrite64(address, value);
  }
}
