// The core's half of the nested page tables' tests: a hook that moves while the guest runs.
import { takePages } from "../../../src/memory/frames";
import { MemoryType } from "../../../src/memory/memory-type";
import { AddressMap, NestedTables, Region } from "../../../src/memory/nested";
import { TicketLock } from "../../../src/threads/lock";
import { NestedEntries } from "../../../src/vcpu/svm/nested-entries";
import { processors } from "../../../src/vcpu/processors";
import { Note, note } from "./host";

const PAGE: u64 = 4096;
const GIGABYTE: u64 = 1 << 30;
/** The root and one below it, and two for each of two hooks: one is still walked while the other is made. */
const POOL: u32 = 6;

class TestMap extends AddressMap {
  /** The one page that is hooked. */
  hook: u64 = 0;

  region(base: u64, size: u64): Region {
    if (this.hook - base >= size) return Region.Own;
    return size == PAGE ? Region.Absent : Region.Mixed;
  }
  typeOf(_base: u64): MemoryType {
    return MemoryType.WriteBack;
  }
  synchronise(): bool {
    return processors.synchronise();
  }
}

/** Says that all processors have let go of what was, without having asked them. */
class CarelessMap extends TestMap {
  synchronise(): bool {
    return true;
  }
}

let map: TestMap | null = null;
let tables: NestedTables | null = null;
const lock = new TicketLock();

/** Returns the physical address of the top table, which is its pointer. */
export function makeTables(careless: u32): u32 {
  const made = careless ? new CarelessMap() : new TestMap();
  map = made;
  tables = new NestedTables(made, new NestedEntries(), 4, GIGABYTE, POOL, takePages(1), takePages(1));
  const nested = changetype<NestedTables>(changetype<usize>(tables));
  nested.refresh(0, 8 * GIGABYTE);
  return nested.rootAddress() as u32;
}

/** Moves the hook to page n of GiB n, for so many n from `gigabyte` on. */
export function moveHook(gigabyte: u32, times: u32): void {
  const now = changetype<TestMap>(changetype<usize>(map));
  const nested = changetype<NestedTables>(changetype<usize>(tables));
  for (let i: u32 = 0; i < times; i++) {
    const to = gigabyte + i;
    lock.acquire();
    const from = now.hook;
    now.hook = (to as u64) * GIGABYTE + (to as u64) * PAGE;
    nested.refresh(from, from + PAGE);
    nested.refresh(now.hook, now.hook + PAGE);
    note(Note.Changed, to);
    lock.release();
  }
}
