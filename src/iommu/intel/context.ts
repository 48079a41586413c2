import { takePages } from "../../memory/frames";
import { physOf } from "../../metal";
import { EntryFormat } from "../page-tables";

/** Second-stage page-table entries (Intel VT-d, 9.8). */
export class IntelFormat extends EntryFormat {
  table(address: u64, _level: u32): u64 {
    return address | READ_WRITE;
  }
  page(address: u64, level: u32): u64 {
    return address | READ_WRITE | (level > 1 ? LARGE_PAGE : 0);
  }
}
const READ_WRITE: u64 = 3;
const LARGE_PAGE: u64 = 1 << 7;

// Which tables a device has. A root entry for each bus points at 256 context entries, one for each function, in
// legacy mode (9.1, 9.3); both have two qwords. A context entry's type, TT, is 0: untranslated requests are translated, and
// a device that says it has translated by itself is refused.
//      63                                   12 11        4 3  2 1   0
//    0 |       context table, page table      |           | TT |FPD|P|
//    8 |                    | 23   domain   8 |           |  2 AW 0  |
const PRESENT: u64 = 1;
const DOMAIN_SHIFT: u64 = 8;
const BUSES: usize = 256;
const ENTRY_SIZE: usize = 16;
const TABLE_SIZE: usize = 256 * 16;

/** The tables of one segment: where each of its functions finds its page tables. */
export class RootTable {
  private readonly table: usize = takePages(1);
  private readonly shared: usize = takePages(1);

  /** All functions have the page tables at `root`, in domain `domain`. `levels` is that of all page tables. */
  constructor(
    private readonly levels: u32,
    root: u64,
    domain: u64,
  ) {
    for (let at: usize = 0; at < TABLE_SIZE; at += ENTRY_SIZE) this.fill(this.shared + at, root, domain);
    for (let bus: usize = 0; bus < BUSES; bus++)
      store<u64>(this.table + bus * ENTRY_SIZE, physOf(this.shared) | PRESENT);
  }

  /** Physical address. */
  get address(): u64 {
    return physOf(this.table);
  }

  /** Gives one function (bus 15:8, device 7:3, function 2:0) page tables of its own. */
  set(address: u32, root: u64, domain: u64): void {
    const entry = this.table + ((address >> 8) as usize) * ENTRY_SIZE;
    let contexts = ((load<u64>(entry) & ~PRESENT) - physOf(0)) as usize;
    if (contexts == this.shared) {
      contexts = takePages(1);
      memory.copy(contexts, this.shared, TABLE_SIZE);
      store<u64>(entry, physOf(contexts) | PRESENT);
    }
    this.fill(contexts + ((address & 0xff) as usize) * ENTRY_SIZE, root, domain);
  }

  private fill(entry: usize, root: u64, domain: u64): void {
    store<u64>(entry, root | PRESENT);
    store<u64>(entry, (domain << DOMAIN_SHIFT) | ((this.levels - 2) as u64), 8); // AW: 1 for 3 levels, 2 for 4
  }
}
