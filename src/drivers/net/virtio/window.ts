import { MmioDevice } from "../../../memory/hooks";
import { widthMask } from "../../../pci/widths";
import { CommonConfig } from "./common";
import { VirtioNet } from "./device";
import { Common } from "./layout";

/** Places in the window, as the MSI-X capability and those of the newer interface name them. */
export const MSIX_TABLE: u32 = 0x000;
export const MSIX_PENDING: u32 = 0x800;
export const COMMON: u32 = 0x1000;
export const FIELDS: u32 = 0x2000;
export const ISR: u32 = 0x3000;
export const NOTIFY: u32 = 0x4000;

/**
 * The device's memory, where the guest would find the card's own registers: the MSI-X table with the pending bits, and
 * the registers of the newer interface. A table is written by aligned accesses of 4 or 8 bytes (PCI Local Bus 3.0,
 * 6.8.2); others are ignored.
 */
export class VirtioWindow extends MmioDevice {
  /** Where the window is. */
  base: u64 = 0;
  /** Whether the guest has memory decoding on; else nothing answers. */
  decoding: bool = false;
  private readonly common: CommonConfig;

  constructor(private readonly device: VirtioNet) {
    super(device.lock);
    this.common = new CommonConfig(device);
  }

  read(address: u64, width: u32): u64 {
    return this.decoding ? this.readAt((address - this.base) as u32, width) : ~(0 as u64);
  }

  write(address: u64, width: u32, value: u64): void {
    if (this.decoding) this.writeAt((address - this.base) as u32, width, value);
  }

  /** Reads at an offset into the window. */
  readAt(offset: u32, width: u32): u64 {
    if (offset < COMMON) return this.readTables(offset, width);
    if (offset < FIELDS) return (this.common.read(offset - COMMON) & widthMask(width)) as u64;
    if (offset < ISR) return this.device.fields.read(offset - FIELDS, width);
    return offset == ISR ? (this.device.readIsr() as u64) : 0;
  }

  writeAt(offset: u32, width: u32, value: u64): void {
    if (offset < COMMON) return this.writeTables(offset, width, value);
    if (offset < FIELDS) {
      if (offset < COMMON + Common.Size && width < 8) this.common.write(offset - COMMON, width, value as u32);
    } else if (offset == NOTIFY && width == 2) {
      this.device.notify((value as u32) & 0xffff);
    }
  }

  private writeTables(offset: u32, width: u32, value: u64): void {
    if (offset >= MSIX_PENDING || width < 4 || offset & (width - 1)) return;
    this.device.interrupts.msix.writeTable(offset - MSIX_TABLE, value as u32);
    if (width == 8) this.device.interrupts.msix.writeTable(offset - MSIX_TABLE + 4, (value >> 32) as u32);
  }

  private readTables(offset: u32, width: u32): u64 {
    const byte = offset & 3;
    if (width == 4 && !byte) return this.dword(offset) as u64; // what drivers do
    if (width == 8) return (this.dword(offset - byte) as u64) | ((this.dword(offset - byte + 4) as u64) << 32);
    return ((this.dword(offset - byte) >> (byte << 3)) & widthMask(width)) as u64;
  }

  private dword(offset: u32): u32 {
    const msix = this.device.interrupts.msix;
    return offset < MSIX_PENDING ? msix.readTable(offset - MSIX_TABLE) : msix.readPending(offset - MSIX_PENDING);
  }
}
