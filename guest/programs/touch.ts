// Measures what it costs to touch memory at random, bare or on Sheer: pages of 4 KiB all over 512 MiB. Each line on the first
// UART is `@@ bench NAME NUMBER`: ticks of the time stamp counter for a thousand touches, the least of several rounds.
import { BootInfo } from "../../src/boot/info";
import { firmware } from "../../src/boot/firmware";
import { takePages } from "../../src/memory/frames";
import { physOf, physRead64, physWrite64 } from "../../src/metal";
import { Code } from "./code";
import { write, writeNumber } from "./console";
export * from "./no-guest";

const BYTES: u64 = 512 << 20;
const PAGE: u64 = 4096;
const ROUNDS: u32 = 40;
const TOUCHES: u32 = 1_000_000;
/** Touches after which translations are forgotten. A processor keeps about as many; an emulator may keep them all. */
const FEW: u32 = 1024;
const ALL: u32 = 0;

/** EFI_SYSTEM_TABLE and EFI_BOOT_SERVICES (UEFI 2.10, 4.3 and 4.4). */
const BOOT_SERVICES: u64 = 96;
const ALLOCATE_PAGES: u64 = 40;
const MAXIMUM_ADDRESS: u64 = 1;
const LOADER_DATA: u64 = 2;

/**
 * A loop that adds to a word of TOUCHES pages, chosen by a linear congruential generator; returns the ticks. Translations are
 * forgotten after each `kept` touches, a power of two, or never if that is ALL.
 */
function loopOver(memory: u32, kept: u32): Code {
  const code = new Code();
  code.bytes(0x56_9c_fa_41b8, 5).immediate(memory); // push rsi; pushfq; cli; mov r8d,memory
  code.bytes(0xb9, 1).immediate(1).bytes(0xbe, 1).immediate(TOUCHES); // mov ecx,1; mov esi,TOUCHES
  code.bytes(0x0f31_48c1e220_4809, 8).bytes(0xd0_4989c1, 4); // rdtsc; shl rdx,32; or rax,rdx; mov r9,rax
  const start = code.here();
  code.bytes(0x69c9, 2).immediate(1_664_525).bytes(0x81c1, 2).immediate(1_013_904_223); // imul ecx,ecx,A; add ecx,C
  code.bytes(0x89ca_c1ea0f_c1e20c, 8); // mov edx,ecx; shr edx,15; shl edx,12: the upper 17 bits are a page
  code
    .bytes(0xf7c6, 2)
    .immediate(kept - 1)
    .bytes(0x7506_0f20d8_0f, 6)
    .bytes(0x22d8, 2); // test esi,kept-1; jnz; mov rax,cr3; mov cr3,rax
  code.bytes(0x41ff0410_ffce_0f85, 8); // inc dword [r8+rdx]; dec esi; jnz start
  code.immediate((start - code.here() - 4) as u32);
  code.bytes(0x0f31_48c1e220_4809, 8).bytes(0xd0_4c29c8, 4); // rdtsc; shl rdx,32; or rax,rdx; sub rax,r9
  return code.bytes(0x9d5ec3, 3); // popfq; pop rsi; ret
}

export function boot(at: usize): u64 {
  const bootServices = physRead64(changetype<BootInfo>(at).systemTable + BOOT_SERVICES);
  const found = takePages(1);
  store<u64>(found, 0xffff_ffff);
  const status = firmware.call(bootServices, ALLOCATE_PAGES, MAXIMUM_ADDRESS, LOADER_DATA, BYTES / PAGE, physOf(found));
  if (status) return status;
  const memory = load<u64>(found);
  // The emulator has its own first touch of each page behind it before the clock runs.
  for (let page = memory; page < memory + BYTES; page += PAGE) physWrite64(page, 0);
  measure("touch", loopOver(memory as u32, ALL));
  measure("touch-forgetting", loopOver(memory as u32, FEW));
  return 0;
}

function measure(name: string, loop: Code): void {
  let least = loop.call();
  for (let round: u32 = 1; round < ROUNDS; round++) least = min(least, loop.call());
  write("@@ bench ");
  write(name);
  write(" ");
  writeNumber(least / (TOUCHES / 1000));
  write("\n");
}
