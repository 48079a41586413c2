// Comes to Sheer's block by the guest's own page tables: as memory, as code, and as a page table.
import { BootInfo } from "../../src/boot/info";
import { physOf, physRead64, physWrite64 } from "../../src/metal";
import { takePages } from "../../src/memory/frames";
import { say } from "./block";
import { Code } from "./code";
import { FAULTED, LINEAR, makeTables, Probe, TABLE_ENTRY, topSlot } from "./probe";

const PAGE: u64 = 4096;

export function attackByPaging(info: BootInfo, block: u64): void {
  const top = topSlot(info);
  say("page-table-slot-free", physRead64(top) == 0);
  const pages = makeTables(top);
  const probe = new Probe(info);

  // The second page of the block, which is never empty, and a page of this program's.
  const own = takePages(1);
  store<u64>(pages, (block + PAGE) | TABLE_ENTRY);
  store<u64>(pages, physOf(own) | TABLE_ENTRY, 8);
  store<u64>(own, 0x1122_3344);
  say("mapped-memory-is-read", probe.touch(LINEAR + PAGE) == 0x1122_3344);
  say("mapped-block-reads-zero", probe.touch(LINEAR) == 0);

  // The last two bytes of the page as code, and then this program's own: zeros are "add [rax],al".
  const sum = takePages(1);
  const start = new Code();
  start.bytes(0x48b8, 2).address64(physOf(sum)); // mov rax,sum
  start.bytes(0x04_05, 2); // add al,5: the page begins at a multiple of 4096
  start.bytes(0x49b9, 2).address64(LINEAR + PAGE - 2); // mov r9,..
  start.bytes(0x41ffe1, 3); // jmp r9
  store<u8>(own, 0xc3); // ret
  start.call();
  say("block-is-executed-as-zeros", load<u8>(sum, 5) == 5);

  // The block as a page table: nothing is present there.
  store<u64>(pages - 4096, (block + PAGE) | TABLE_ENTRY);
  say("block-is-an-empty-page-table", probe.touch(LINEAR) == FAULTED);
  physWrite64(top, 0);
}
