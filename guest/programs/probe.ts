// Code that touches a linear address and lives through a page fault, and page tables of its own to try it on.
import { BootInfo } from "../../src/boot/info";
import { firmwareCall, physOf, physWrite64 } from "../../src/metal";
import { takePages } from "../../src/memory/frames";
import { Code } from "./code";

/** A slot of the firmware's top page table that it does not use, and the linear address that it begins at. */
const SLOT: u64 = 0x90;
export const LINEAR: u64 = SLOT << 39;
export const TABLE_ENTRY: u64 = 3; // present, writable
const PAGE_FAULT: u32 = 14;
/** A probe's answer if the processor raised a page fault: the error code is added. */
export const FAULTED: u64 = 0xbad_0000;

const enum Place {
  OwnIdt = 0x100,
  FirmwareIdt = 0x110,
}

/** Code that reads a linear address, or what else subclasses have it do. */
export class Probe {
  private readonly code: Code = new Code();
  private readonly idt: usize = takePages(1);
  private readonly state: usize = takePages(1);

  constructor(context: BootInfo) {
    const state = physOf(this.state);
    const code = this.code;
    code.bytes(0x9c_fa, 2).bytes(0x49b8, 2).address64(state); // pushfq; cli; mov r8,state
    code.bytes(0x410f01_88, 4).immediate(Place.FirmwareIdt); // sidt [r8+FirmwareIdt]
    code.bytes(0x410f01_98, 4).immediate(Place.OwnIdt); // lidt [r8+OwnIdt]
    this.access(code);
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

  /** With the address in RCX: an instruction of 3 bytes that may fault, and an answer in RDX if it does not. Keeps R8. */
  protected access(code: Code): void {
    code.bytes(0x48_8b11, 3); // mov rdx,[rcx]
  }

  /** Touches a linear address, in the firmware's context. */
  touch(linear: u64): u64 {
    store<u64>(this.state, linear);
    return firmwareCall(this.code.address(), this.state, 1);
  }
}

/** Where the firmware's top table has its entry for LINEAR. */
export function topSlot(info: BootInfo): u64 {
  return (info.context.cr3 & ~0xfff) + (SLOT << 3);
}

/** Has LINEAR mapped by a page table, which is returned; all tables have the rights of `entry`. */
export function makeTables(top: u64, entry: u64 = TABLE_ENTRY): usize {
  const tables = takePages(3);
  store<u64>(tables, physOf(tables + 4096) | entry);
  store<u64>(tables + 4096, physOf(tables + 8192) | entry);
  physWrite64(top, physOf(tables) | entry);
  return tables + 8192;
}
