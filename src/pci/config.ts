import { log } from "../log/log";
import { in32, out32 } from "../metal";
import { TicketLock } from "../threads/lock";
import { ALL_ONES, Header, MULTIFUNCTION } from "./header";
import { readMemory, readPort, widthMask, writeMemory, writePort } from "./widths";

/** Configuration mechanism #1 (PCI Local Bus 3.0, 3.2.2.3.2). It reaches segment 0. */
export const CONFIG_ADDRESS: u32 = 0xcf8;
export const CONFIG_DATA: u32 = 0xcfc;
export const CONFIG_ENABLE: u32 = 0x8000_0000;
/** Bytes of configuration space that 0xCF8 can name. */
const PORT_REACH: u32 = 256;
/** Addresses of functions in one segment. */
export const SEGMENT_SIZE: u32 = 0x1_0000;

const MAXIMUM_RANGES: u32 = 16;

/**
 * The machine's configuration space: through memory (ECAM, PCI Express 3.0, 7.2.2) where the firmware's MCFG table
 * says so, else through 0xCF8. A function is named by its address: segment 31:16, bus 15:8, device 7:3, function 2:0.
 */
class ConfigSpace {
  /** Held while 0xCF8 is Sheer's, while buses change their numbers, and whenever the methods below are called. */
  readonly lock: TicketLock = new TicketLock();
  ranges: u32 = 0;
  private readonly bases: StaticArray<u64> = new StaticArray<u64>(MAXIMUM_RANGES);
  private readonly firsts: StaticArray<u32> = new StaticArray<u32>(MAXIMUM_RANGES);
  private readonly ends: StaticArray<u32> = new StaticArray<u32>(MAXIMUM_RANGES);

  /** Tells of an ECAM range for buses `first` to `last` of a segment; bus 0 lies at `base` or would lie there. */
  useEcam(segment: u32, base: u64, first: u32, last: u32): void {
    if (this.ranges == MAXIMUM_RANGES) {
      log.error("more ECAM ranges than Sheer can watch: one is left to the guest").end();
      return;
    }
    const range = this.ranges++;
    const start = (segment << 16) | (first << 8);
    unchecked((this.bases[range] = base + ((first as u64) << 20)));
    unchecked((this.firsts[range] = start));
    unchecked((this.ends[range] = start + ((last - first + 1) << 8)));
  }

  /** Where a range begins, in memory and in the addresses of its first function and of the one after its last. */
  rangeBase(range: u32): u64 {
    return unchecked(this.bases[range]);
  }
  rangeFirst(range: u32): u32 {
    return unchecked(this.firsts[range]);
  }
  rangeEnd(range: u32): u32 {
    return unchecked(this.ends[range]);
  }

  /** Physical address of a function's 4 KiB of configuration space, or 0 if no memory reaches it. */
  ecamPage(address: u32): u64 {
    for (let i: u32 = 0; i < this.ranges; i++) {
      const first = unchecked(this.firsts[i]);
      if (address < first || address >= unchecked(this.ends[i])) continue;
      return unchecked(this.bases[i]) + (((address - first) as u64) << 12);
    }
    return 0;
  }

  /** Reads 1, 2 or 4 bytes, which must not cross a dword. */
  read(address: u32, offset: u32, width: u32): u32 {
    const page = this.ecamPage(address);
    if (page) return readMemory(page + (offset as u64), width);
    if (offset >= PORT_REACH || address >= SEGMENT_SIZE) return ALL_ONES & widthMask(width);
    const guests = in32(CONFIG_ADDRESS);
    out32(CONFIG_ADDRESS, CONFIG_ENABLE | (address << 8) | (offset & 0xfc));
    const value = readPort(CONFIG_DATA + (offset & 3), width);
    out32(CONFIG_ADDRESS, guests);
    return value;
  }

  write(address: u32, offset: u32, width: u32, value: u32): void {
    const page = this.ecamPage(address);
    if (page) {
      writeMemory(page + (offset as u64), width, value);
    } else if (offset < PORT_REACH && address < SEGMENT_SIZE) {
      const guests = in32(CONFIG_ADDRESS);
      out32(CONFIG_ADDRESS, CONFIG_ENABLE | (address << 8) | (offset & 0xfc));
      writePort(CONFIG_DATA + (offset & 3), width, value);
      out32(CONFIG_ADDRESS, guests);
    }
  }
}

export const configSpace = new ConfigSpace();

/** No function has this address. */
export const NOWHERE: u32 = 0xffff_ffff;

/** One function of the real machine. Where none answers, reads give all ones and writes do nothing. */
export class PciFunction {
  /** `address` is NOWHERE while the guest has numbered the buses so that nothing reaches the function. */
  constructor(public address: u32) {}

  get multifunction(): bool {
    return (this.read8(Header.HeaderType) & MULTIFUNCTION) != 0;
  }

  /** Reads 1, 2 or 4 bytes, which must not cross a dword. */
  read(offset: u32, width: u32): u32 {
    configSpace.lock.acquire();
    const value = this.address == NOWHERE ? ALL_ONES & widthMask(width) : configSpace.read(this.address, offset, width);
    configSpace.lock.release();
    return value;
  }
  write(offset: u32, width: u32, value: u32): void {
    configSpace.lock.acquire();
    if (this.address != NOWHERE) configSpace.write(this.address, offset, width, value);
    configSpace.lock.release();
  }

  read8(offset: u32): u32 {
    return this.read(offset, 1);
  }
  read16(offset: u32): u32 {
    return this.read(offset, 2);
  }
  read32(offset: u32): u32 {
    return this.read(offset, 4);
  }
  write8(offset: u32, value: u32): void {
    this.write(offset, 1, value);
  }
  write16(offset: u32, value: u32): void {
    this.write(offset, 2, value);
  }
  write32(offset: u32, value: u32): void {
    this.write(offset, 4, value);
  }
}

/** Adds a function's address to a line of the log, as `02:00.0`, with a segment other than 0 before. */
export function logAddress(address: u32): void {
  if (address >> 16) log.hexDigits(address >> 16, 4).char(0x3a);
  log
    .hexDigits((address >> 8) & 0xff, 2)
    .char(0x3a)
    .hexDigits((address >> 3) & 31, 2)
    .char(0x2e)
    .dec(address & 7);
}
