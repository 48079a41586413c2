// The core's half of the page walks' tests: one of the guest's processors changes an entry that Sheer, for another, sets the
// accessed and dirty bits of.
import { takePages } from "../../../src/memory/frames";
import { Access, isFault, translate } from "../../../src/memory/translate";
import { physOf, physRead64, physWrite64 } from "../../../src/metal";
import { Registers } from "../../../src/vcpu/vcpu";
import { step } from "./host";
import { TestVcpu } from "./vcpu";

const PRESENT_WRITABLE: u64 = 3;
const ACCESSED_DIRTY: u64 = 0x60;
const CR0_PG_WP: u64 = 0x8001_0000;
const CR4_PAE: u64 = 1 << 5;
const EFER_LMA: u64 = 1 << 10;

/** A processor with paging: two levels of 4-byte entries, or four of 8-byte ones. */
class WalkingVcpu extends TestVcpu {
  cr4Value: u64 = 0;
  eferValue: u64 = 0;
  top: usize = 0;
  cr0(): u64 {
    return CR0_PG_WP;
  }
  cr3(): u64 {
    return physOf(this.top);
  }
  cr4(): u64 {
    return this.cr4Value;
  }
  efer(): u64 {
    return this.eferValue;
  }
}

const vcpu = new WalkingVcpu(changetype<Registers>(heap.alloc(offsetof<Registers>())), 0);

/** Tables for linear address 0, without accessed and dirty bits. Returns where its last entry lies. */
export function makeGuestTables(long: u32): usize {
  const levels: u32 = long ? 4 : 2;
  const tables = takePages(levels);
  vcpu.cr4Value = long ? CR4_PAE : 0;
  vcpu.eferValue = long ? EFER_LMA : 0;
  vcpu.top = tables;
  for (let i: u32 = 0; i < levels; i++) {
    store<u32>(tables + i * 4096, ((physOf(tables) + (i + 1) * 4096) | PRESENT_WRITABLE) as u32);
  }
  return tables + (levels - 1) * 4096;
}

/** Whether a write to linear address 0 may be carried out. */
export function walkForWrite(): bool {
  return !isFault(translate(vcpu, 0, Access.Write));
}

/** The same as it must not be done: the entry is read and written. */
export function walkCarelessly(entry: usize): bool {
  const found = physRead64(physOf(entry));
  if (!(found & 1)) return false;
  physWrite64(physOf(entry), found | ACCESSED_DIRTY);
  return true;
}

/** The guest's own XCHG of an entry's low half for `value`; returns what was there. */
export function exchangeEntry(entry: usize, value: u32): u32 {
  step();
  const old = load<u32>(entry);
  store<u32>(entry, value);
  return old;
}
