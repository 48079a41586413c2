// The core's half of the nested page tables' tests: tables of both formats, made after an address map that the test has.
import { EntryFormat } from "../../../../src/memory/entry-format";
import { takePages } from "../../../../src/memory/frames";
import { MemoryType } from "../../../../src/memory/memory-type";
import { AddressMap, NestedTables, Region } from "../../../../src/memory/nested";
import { NestedEntries } from "../../../../src/vcpu/svm/nested-entries";
import { ExtendedEntries } from "../../../../src/vcpu/vmx/nested-entries";

export declare function region(base: u64, size: u64): u32;
export declare function typeOf(base: u64): u32;
export declare function synchronise(): bool;

class TestMap extends AddressMap {
  region(base: u64, size: u64): Region {
    return region(base, size);
  }
  typeOf(base: u64): MemoryType {
    return typeOf(base);
  }
  synchronise(): bool {
    return synchronise();
  }
}

let tables: NestedTables | null = null;

function nested(): NestedTables {
  return changetype<NestedTables>(changetype<usize>(tables));
}

/** `extended`: Intel's format. */
export function make(extended: u32, levels: u32, largest: u64, pool: u32): void {
  const format: EntryFormat = extended ? new ExtendedEntries() : new NestedEntries();
  tables = new NestedTables(new TestMap(), format, levels, largest, pool, takePages(1), takePages(1));
}

export function root(): u64 {
  return nested().rootAddress();
}
export function keepBelow(end: u64): void {
  nested().keepBelow(end);
}
export function refresh(from: u64, to: u64): bool {
  return nested().refresh(from, to);
}
export function update(from: u64, to: u64): bool {
  return nested().update(from, to);
}
