// Comes to Sheer's block by the guest's own page tables: as memory, as code, and as a page table.
import { BootInfo } from "../../src/boot/info";
import { firmwareCall, physOf, physRead64, physWrite64 } from "../../src/metal";
import { takePages } from "../../src/memory/frames";
import { say } from "./block";
import { Code } from "./code";

/** A slot of the firmware's top page table that it does not use, and the linear address that it begins at. */
const SLOT: u64 = 0x90;
const LINEAR: u64 = SLOT << 39;
const TABLE_ENTRY: u64 = 3; // present, writable
const PAGE: u64 = 4096;
const PAGE_FAULT: u32 = 14;
/** A probe's answer if the processor raised a page fault: the error code is added. */
const FAULTED: u64 = 0xbad_0000;

const enum Place {
  OwnIdt = 0x100,
  FirmwareIdt = 0x110,
}

/** Code that reads a linear address, and lives through a page fault. */
class Probe {
  private readonly code: Code = new Code();
  private readonly idt: usize = takePages(1);
  private readonly state: usize = takePages(1);

  constructor(context: BootInfo) {
    const state = physOf(this.state);
    const code = this.code;
    code.bytes(0x9c_fa, 2); // pushfq; cli
    this.address(0x49b8, state); // mov r8,state
    code.bytes(0x410f01_88, 4).immediate(Place.FirmwareIdt); // sidt [r8+FirmwareIdt]
    code.bytes(0x410f01_98, 4).immediate(Place.OwnIdt); // lidt [r8+OwnIdt]
    code.bytes(0x48_8b11, 3); // mov rdx,[rcx]
    code.bytes(0x410f01_98, 4).immediate(Place.FirmwareIdt); // lidt [r8+FirmwareIdt]
    code.bytes(0x9d_4889d0_c3, 5); // popfq; mov rax,rdx; ret
    const handler = code.address() + (code.here() as u64);
    code.bytes(0x5a_81ca, 3).immediate(FAULTED as u32); // pop rdx; or edx,FAULTED
    code.bytes(0x4883042403_48cf, 7); // add qword [rsp],3; iretq
    const gate = this.idt + (PAGE_FAULT as usize) * 16;
    // An interrupt gate of 64-bit mode (AMD APM 2, 4.8.4).
    store<u64>(
      gate,
      (handler & 0xffff) | ((context.context.cs as u64) << 16) | ((0x8e00 as u64) << 32) | ((handler >> 16) << 48),
    );
    store<u64>(gate, handler >> 32, 8);
    store<u16>(this.state, 4095, Place.OwnIdt);
    store<u64>(this.state, physOf(this.idt), Place.OwnIdt + 2);
  }

  /** Reads 8 bytes at a linear address, in the firmware's context. */
  read(linear: u64): u64 {
    store<u64>(this.state, linear);
    return firmwareCall(this.code.address(), this.state, 1);
  }

  private address(opcode: u64, value: u64): void {
    this.code
      .bytes(opcode, 2)
      .immediate(value as u32)
      .immediate((value >> 32) as u32);
  }
}

/** Tables from `top`, a slot of the top table, to a page table; returns that. */
function makeTables(top: u64): usize {
  const tables = takePages(3);
  store<u64>(tables, physOf(tables + 4096) | TABLE_ENTRY);
  store<u64>(tables + 4096, physOf(tables + 8192) | TABLE_ENTRY);
  physWrite64(top, physOf(tables) | TABLE_ENTRY);
  return tables + 8192;
}

export function attackByPaging(info: BootInfo, block: u64): void {
  const top = (info.context.cr3 & ~0xfff) + (SLOT << 3);
  say("page-table-slot-free", physRead64(top) == 0);
  const pages = makeTables(top);
  const probe = new Probe(info);

  // The second page of the block, which is never empty, and a page of this program's.
  const own = takePages(1);
  store<u64>(pages, (block + PAGE) | TABLE_ENTRY);
  store<u64>(pages, physOf(own) | TABLE_ENTRY, 8);
  store<u64>(own, 0x1122_3344);
  say("mapped-memory-is-read", probe.read(LINEAR + PAGE) == 0x1122_3344);
  say("mapped-block-reads-zero", probe.read(LINEAR) == 0);

  // The last two bytes of the page as code, and then this program's own: zeros are "add [rax],al".
  const sum = takePages(1);
  const start = new Code();
  start
    .bytes(0x48b8, 2)
    .immediate(physOf(sum) as u32)
    .immediate((physOf(sum) >> 32) as u32); // mov rax,sum
  start.bytes(0x04_05, 2); // add al,5: the page begins at a multiple of 4096
  start
    .bytes(0x49b9, 2)
    .immediate((LINEAR + PAGE - 2) as u32)
    .immediate(((LINEAR + PAGE - 2) >> 32) as u32); // mov r9,..
  start.bytes(0x41ffe1, 3); // jmp r9
  store<u8>(own, 0xc3); // ret
  start.call();
  say("block-is-executed-as-zeros", load<u8>(sum, 5) == 5);

  // The block as a page table: nothing is present there.
  store<u64>(pages - 4096, (block + PAGE) | TABLE_ENTRY);
  say("block-is-an-empty-page-table", probe.read(LINEAR) == FAULTED);
  physWrite64(top, 0);
}
