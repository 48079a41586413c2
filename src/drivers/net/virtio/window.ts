import { MmioDevice } from "../../../memory/hooks";
import { VirtualMsix } from "../../../pci/msix";
import { widthMask } from "../../../pci/widths";
import { TicketLock } from "../../../threads/lock";

/** Places in the window, as the MSI-X capability names them. */
export const MSIX_TABLE: u32 = 0x000;
export const MSIX_PENDING: u32 = 0x800;

/**
 * The device's memory: the MSI-X table and the pending bits, where the guest would find the card's own registers. A
 * table is written by aligned accesses of 4 or 8 bytes (PCI Local Bus 3.0, 6.8.2); others are ignored.
 */
export class VirtioWindow extends MmioDevice {
  /** Where the window is. */
  base: u64 = 0;
  /** Whether the guest has memory decoding on; else nothing answers. */
  decoding: bool = false;

  constructor(
    private readonly msix: VirtualMsix,
    lock: TicketLock,
  ) {
    super(lock);
  }

  read(address: u64, width: u32): u64 {
    if (!this.decoding) return ~(0 as u64);
    const offset = (address - this.base) as u32;
    const byte = offset & 3;
    if (width == 8) return (this.dword(offset - byte) as u64) | ((this.dword(offset - byte + 4) as u64) << 32);
    return ((this.dword(offset - byte) >> (byte << 3)) & widthMask(width)) as u64;
  }

  write(address: u64, width: u32, value: u64): void {
    const offset = (address - this.base) as u32;
    if (!this.decoding || width < 4 || offset & (width - 1) || offset >= MSIX_PENDING) return;
    this.msix.writeTable(offset - MSIX_TABLE, value as u32);
    if (width == 8) this.msix.writeTable(offset - MSIX_TABLE + 4, (value >> 32) as u32);
  }

  private dword(offset: u32): u32 {
    return offset < MSIX_PENDING
      ? this.msix.readTable(offset - MSIX_TABLE)
      : this.msix.readPending(offset - MSIX_PENDING);
  }
}
