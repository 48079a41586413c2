import { Memory, MmioHooks } from "../memory/hooks";
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

/** Where an instruction's memory accesses go, each within a page. */
export abstract class MemoryBus implements Memory {
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
    const device = this.hooks.findWhole(address, width as u64);
    if (device !== null) return device.readLocked(address, width);
    return this.hooks.touches(address, width as u64) ? this.readBytes(address, width) : readPlain(address, width);
  }

  write(address: u64, width: u32, value: u64): void {
    const device = this.hooks.findWhole(address, width as u64);
    if (device !== null) device.writeLocked(address, width, value);
    else if (this.hooks.touches(address, width as u64)) this.writeBytes(address, width, value);
    else writePlain(address, width, value);
  }

  private readBytes(start: u64, width: u32): u64 {
    let value: u64 = 0;
    for (let i: u64 = 0; i < (width as u64); i++) {
      const device = this.hooks.find(start + i);
      const byte = device !== null ? device.readLocked(start + i, 1) & 0xff : readPlain(start + i, 1);
      value |= byte << (i << 3);
    }
    return value;
  }

  private writeBytes(start: u64, width: u32, value: u64): void {
    for (let i: u64 = 0; i < (width as u64); i++) {
      const device = this.hooks.find(start + i);
      const byte = (value >> (i << 3)) & 0xff;
      if (device !== null) device.writeLocked(start + i, 1, byte);
      else writePlain(start + i, 1, byte);
    }
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
