// Tells a device that the guest owns, QEMU's "edu", to copy between memory and Sheer's block. `@@ NAME ok` or `@@ NAME
// wrong` for each. What it changes in the block is the first page, which nothing of Sheer's uses: so that the program can
// be run where nothing fences the device off, and has to find that out.
import { BOOT_INFO, BootInfo } from "../../src/boot/info";
import { pause, physOf, physRead64, physWrite64 } from "../../src/metal";
import { takePages } from "../../src/memory/frames";
import { PciFunction } from "../../src/pci/config";
import { Command, Header } from "../../src/pci/header";
import { FunctionScan } from "../../src/pci/scan";
import { findBlock, say } from "./block";
import { write } from "./console";
export * from "./no-guest";

const EDU: u32 = 0x11e8_1234;
/** Registers and the device's own memory (QEMU's docs/specs/edu). */
const enum Register {
  Source = 0x80,
  Destination = 0x88,
  Count = 0x90,
  Command = 0x98,
}
const BUFFER: u64 = 0x4_0000;
const START: u64 = 1 << 0;
const TO_MEMORY: u64 = 1 << 1;
const LENGTH: u64 = 64;
const PATIENCE: u32 = 20_000_000;

const MARK: u64 = 0x5a5a_1234_5a5a_1234;
const OTHER: u64 = 0x0123_4567_89ab_cdef;

/** Where Sheer's block holds its own address: BootInfo.blockBase. */
const BLOCK_BASE_PLACE: u64 = BOOT_INFO + offsetof<BootInfo>("blockBase");

let registers: u64 = 0;

function findDevice(): bool {
  const scan = new FunctionScan();
  while (scan.advance()) {
    if (scan.identity.id != EDU) continue;
    const pci = new PciFunction(scan.identity.address);
    pci.write16(Header.Command, Command.MemorySpace | Command.BusMaster);
    registers = (pci.read32(Header.Bar0) & ~15) as u64;
    return true;
  }
  return false;
}

function copy(from: u64, to: u64, direction: u64): bool {
  physWrite64(registers + Register.Source, from);
  physWrite64(registers + Register.Destination, to);
  physWrite64(registers + Register.Count, LENGTH);
  physWrite64(registers + Register.Command, START | direction);
  for (let polls: u32 = 0; polls < PATIENCE; polls++) {
    if (!(physRead64(registers + Register.Command) & START)) return true;
    pause();
  }
  return false;
}
/** Has the device write `value` to an address. */
function put(address: u64, value: u64): bool {
  const page = physOf(takePages(1));
  for (let i: u64 = 0; i < LENGTH; i += 8) physWrite64(page + i, value);
  return copy(page, BUFFER, 0) && copy(BUFFER, address, TO_MEMORY);
}
/** What the device finds at an address; `OTHER` if it does not come there. */
function get(address: u64): u64 {
  const page = physOf(takePages(1));
  if (!put(page, OTHER) || !copy(address, BUFFER, 0) || !copy(BUFFER, page, TO_MEMORY)) return OTHER;
  return physRead64(page);
}

export function boot(at: usize): u64 {
  const info = changetype<BootInfo>(at);
  const block = findBlock(info);
  say("block-found", block != 0);
  say("device-found", findDevice());
  const memory = physOf(takePages(1));
  say("device-reaches-memory", put(memory, MARK) && physRead64(memory) == MARK && get(memory) == MARK);
  put(block, MARK);
  say("device-does-not-write-block", get(block) != MARK);
  say("device-does-not-read-block", get(block + BLOCK_BASE_PLACE) != block);
  write("@@ dma-done\n");
  return 0;
}
