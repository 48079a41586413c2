import { BOOT_INFO, BootInfo } from "../boot/info";

/** What the guest may name by a physical address. Made at boot, before any guest address is looked at. */
class GuestMemory {
  private blockBase: u64 = 0;
  private blockEnd: u64 = 0;
  /** First address beyond the machine's width (CPUID 8000_0008, EAX 7:0). */
  private limit: u64 = 1 << 36;

  begin(physicalBits: u32): void {
    const info = changetype<BootInfo>(BOOT_INFO);
    this.blockBase = info.blockBase;
    this.blockEnd = info.blockBase + info.blockSize;
    this.limit = (1 as u64) << (physicalBits as u64);
  }

  /** First address beyond the machine's. */
  get end(): u64 {
    return this.limit;
  }

  /** Whether the machine's physical addresses have as many bits as this one needs. */
  isAddress(address: u64): bool {
    return address < this.limit;
  }

  /** Whether these bytes are Sheer's own, all of them. */
  isBlock(address: u64, length: u64): bool {
    return address >= this.blockBase && address + length <= this.blockEnd;
  }

  /**
   * Whether the guest may have Sheer or a device touch these bytes: the one place that refuses Sheer's own block,
   * ranges that wrap around and addresses beyond the machine's width. Asked before any copy and any DMA.
   */
  permits(address: u64, length: u64): bool {
    const end = address + length;
    if (end < address || end > this.limit) return false;
    return end <= this.blockBase || address >= this.blockEnd;
  }
}

export const guestMemory = new GuestMemory();
