import { takePages } from "../../memory/frames";
import { physOf } from "../../metal";
import { EntryFormat } from "../page-tables";

const READ_WRITE: u64 = 3 << 61;
const PRESENT: u64 = 1;
const NEXT_LEVEL_SHIFT: u64 = 9;

/** Host page-table entries (AMD 48882, 2.2.3): next level 0 maps a page, of whatever level. */
export class AmdFormat extends EntryFormat {
  table(address: u64, level: u32): u64 {
    return address | PRESENT | ((level as u64) << NEXT_LEVEL_SHIFT) | READ_WRITE;
  }
  page(address: u64, _level: u32): u64 {
    return address | PRESENT | READ_WRITE;
  }
}

// A device table entry has four qwords (2.2.2.1). Interrupts are not remapped, IV is 0.
//      63 62 61 60      52 51                          12 11  9 8    2 1  0
//    0 |  |IW|IR|         |    page table's address      | Mode |     |TV|V|
//    8 |                         | 41 SysMgt 40 |            | 15  domain  0|
//   16 |L1|L0|     |NMI|EInt|INIT|                                      |IV|
// The uppermost bits are the firmware's word on which interrupts of chipset devices pass.
const VALID: u64 = 3;
const ENTRY_SIZE: usize = 32;
const PAGE: u32 = 4096;

/** The device table of one segment: where each of its functions finds its page tables. */
export class DeviceTable {
  private readonly table: usize;
  private readonly pages: u32;

  /** All functions up to `last` have the page tables of `levels` at `root`, in domain `domain`. */
  constructor(
    private readonly last: u32,
    private readonly levels: u32,
    root: u64,
    domain: u64,
  ) {
    this.pages = ((last + 1) * (ENTRY_SIZE as u32) + PAGE - 1) / PAGE;
    this.table = takePages(this.pages);
    const entries = (this.pages * PAGE) / (ENTRY_SIZE as u32);
    for (let device: u32 = 0; device < entries; device++) this.set(device, root, domain);
  }

  /** For the base register: address, and pages less one in bits 8:0. */
  get baseRegister(): u64 {
    return physOf(this.table) | ((this.pages - 1) as u64);
  }

  /** Gives one function (bus 15:8, device 7:3, function 2:0) page tables of its own. */
  set(device: u32, root: u64, domain: u64): void {
    const entry = this.table + (device as usize) * ENTRY_SIZE;
    store<u64>(entry, root | VALID | ((this.levels as u64) << NEXT_LEVEL_SHIFT) | READ_WRITE);
    store<u64>(entry, (load<u64>(entry, 8) & SYSTEM_MANAGEMENT) | domain, 8);
  }

  /** Applies the settings byte of an IVHD device entry (5.2.2.2). */
  applySettings(device: u32, settings: u32): void {
    if (device > this.last) return;
    const entry = this.table + (device as usize) * ENTRY_SIZE;
    const passed = ((settings & 7) << 0) | ((settings >> 6) << 6);
    store<u64>(entry, load<u64>(entry, 8) | ((((settings >> 4) & 3) as u64) << 40), 8);
    store<u64>(entry, (passed as u64) << 56, 16);
  }
}
const SYSTEM_MANAGEMENT: u64 = 3 << 40;
