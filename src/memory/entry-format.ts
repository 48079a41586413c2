import { MemoryType } from "./memory-type";

/**
 * How a vendor's nested page tables write an entry. In all of them 0 maps nothing, bits 51:12 are a physical address, and in
 * tables whose entries stand for more than 4 KiB bit 7 tells a page from a table.
 */
export abstract class EntryFormat {
  /** An entry that leads to the table at a physical address, with all rights. */
  abstract table(address: u64): u64;
  /** One that maps `size` bytes, 4 KiB, 2 MiB or 1 GiB, with all rights. `type` is the MTRRs' for the whole page. */
  abstract page(address: u64, size: u64, type: MemoryType): u64;
  /** One that maps 4 KiB of ordinary memory which can only be read. */
  abstract readOnly(address: u64): u64;
}
