import { log } from "../log/log";
import { in32, out32 } from "../metal";
import { TicketLock } from "../threads/lock";
import { ALL_ONES } from "./header";
import { readMemory, readPort, writeMemory, writePort } from "./widths";

/** Configuration mechanism #1 (PCI Local Bus 3.0, 3.2.2.3.2). */
export const CONFIG_ADDRESS: u32 = 0xcf8;
export const CONFIG_DATA: u32 = 0xcfc;
export const CONFIG_ENABLE: u32 = 0x8000_0000;
/** Bytes of configuration space that 0xCF8 can name. */
const PORT_REACH: u32 = 256;

const MAXIMUM_RANGES: u32 = 8;

/**
 * The machine's configuration space: through memory (ECAM, PCI Express 3.0, 7.2.2) where the firmware's MCFG table
 * says so, else through 0xCF8. A function is named by its address: bus 15:8, device 7:3, function 2:0.
 */
class ConfigSpace {
  /** Held while 0xCF8 is Sheer's. */
  private readonly lock: TicketLock = new TicketLock();
  private ranges: u32 = 0;
  private readonly bases: StaticArray<u64> = new StaticArray<u64>(MAXIMUM_RANGES);
  private readonly firsts: StaticArray<u32> = new StaticArray<u32>(MAXIMUM_RANGES);
  private readonly lasts: StaticArray<u32> = new StaticArray<u32>(MAXIMUM_RANGES);

  /** Tells of an ECAM range for buses `first` to `last`; `base` is where bus 0 lies or would lie. */
  useEcam(base: u64, first: u32, last: u32): void {
    if (this.ranges == MAXIMUM_RANGES) return;
    const range = this.ranges++;
    unchecked((this.bases[range] = base));
    unchecked((this.firsts[range] = first));
    unchecked((this.lasts[range] = last));
  }

  /** Physical address of a function's 4 KiB of configuration space, or 0 if only 0xCF8 reaches it. */
  ecamPage(address: u32): u64 {
    const bus = address >> 8;
    for (let i: u32 = 0; i < this.ranges; i++) {
      if (bus < unchecked(this.firsts[i]) || bus > unchecked(this.lasts[i])) continue;
      return unchecked(this.bases[i]) + ((address as u64) << 12);
    }
    return 0;
  }

  /** Reads 1, 2 or 4 bytes, which must not cross a dword. */
  read(address: u32, offset: u32, width: u32): u32 {
    const page = this.ecamPage(address);
    if (page) return readMemory(page + (offset as u64), width);
    if (offset >= PORT_REACH) return ALL_ONES;
    this.lock.acquire();
    const guests = in32(CONFIG_ADDRESS);
    out32(CONFIG_ADDRESS, CONFIG_ENABLE | (address << 8) | (offset & 0xfc));
    const value = readPort(CONFIG_DATA + (offset & 3), width);
    out32(CONFIG_ADDRESS, guests);
    this.lock.release();
    return value;
  }

  write(address: u32, offset: u32, width: u32, value: u32): void {
    const page = this.ecamPage(address);
    if (page) {
      writeMemory(page + (offset as u64), width, value);
    } else if (offset < PORT_REACH) {
      this.lock.acquire();
      const guests = in32(CONFIG_ADDRESS);
      out32(CONFIG_ADDRESS, CONFIG_ENABLE | (address << 8) | (offset & 0xfc));
      writePort(CONFIG_DATA + (offset & 3), width, value);
      out32(CONFIG_ADDRESS, guests);
      this.lock.release();
    }
  }
}

export const configSpace = new ConfigSpace();

/** One function of the real machine. */
export class PciFunction {
  constructor(readonly address: u32) {}

  read8(offset: u32): u32 {
    return configSpace.read(this.address, offset, 1);
  }
  read16(offset: u32): u32 {
    return configSpace.read(this.address, offset, 2);
  }
  read32(offset: u32): u32 {
    return configSpace.read(this.address, offset, 4);
  }
  write8(offset: u32, value: u32): void {
    configSpace.write(this.address, offset, 1, value);
  }
  write16(offset: u32, value: u32): void {
    configSpace.write(this.address, offset, 2, value);
  }
  write32(offset: u32, value: u32): void {
    configSpace.write(this.address, offset, 4, value);
  }
}

/** Adds a function's address to a line of the log, as `02:00.0`. */
export function logAddress(address: u32): void {
  log
    .hexDigits(address >> 8, 2)
    .char(0x3a)
    .hexDigits((address >> 3) & 31, 2)
    .char(0x2e)
    .dec(address & 7);
}
