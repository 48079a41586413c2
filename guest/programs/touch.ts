// Measures what it costs to touch memory at random, bare or on Sheer: pages of 4 KiB all over 512 MiB. The line on the first
// UART is `@@ bench touch NUMBER`: ticks of the time stamp counter for a thousand touches, the least of many rounds; then comes
// `@@ bench-done`. A round is called in the firmware's context, so that it begins without translations, and nearly each touch
// needs a new one.
import { BootInfo } from "../../src/boot/info";
import { firmware } from "../../src/boot/firmware";
import { takePages } from "../../src/memory/frames";
import { physOf, physRead64, physWrite64 } from "../../src/metal";
import { Code } from "./code";
import { write, writeNumber } from "./console";
export * from "./no-guest";

const BYTES: u64 = 512 << 20;
const PAGE: u64 = 4096;
/** Short rounds, of which the least is one in which the emulator was not disturbed. */
const ROUNDS: u32 = 2000;
const TOUCHES: u32 = 10_000;

/** EFI_SYSTEM_TABLE and EFI_BOOT_SERVICES (UEFI 2.10, 4.3 and 4.4). */
const BOOT_SERVICES: u64 = 96;
const ALLOCATE_PAGES: u64 = 40;
const ANY_PAGES: u64 = 0;
const LOADER_DATA: u64 = 2;

/** A loop that adds to a word of TOUCHES pages, chosen by a linear congruential generator; returns the ticks. */
function loopOver(memory: u64): Code {
  const code = new Code();
  code
    .bytes(0x56_9c_fa_49b8, 5)
    .immediate(memory as u32)
    .immediate((memory >> 32) as u32); // push rsi; pushfq; cli; mov r8,memory
  code.bytes(0x418b4808, 4).bytes(0xbe, 1).immediate(TOUCHES); // mov ecx,[r8+8]; mov esi,TOUCHES
  code.bytes(0x0f31_48c1e220_4809, 8).bytes(0xd0_4989c1, 4); // rdtsc; shl rdx,32; or rax,rdx; mov r9,rax
  const start = code.here();
  code.bytes(0x69c9, 2).immediate(1_664_525).bytes(0x81c1, 2).immediate(1_013_904_223); // imul ecx,ecx,A; add ecx,C
  code.bytes(0x89ca_c1ea0f_c1e20c, 8); // mov edx,ecx; shr edx,15; shl edx,12: the upper 17 bits are a page
  code.bytes(0x41ff0410_ffce_0f85, 8); // inc dword [r8+rdx]; dec esi; jnz start
  code.immediate((start - code.here() - 4) as u32);
  code.bytes(0x41894808, 4); // mov [r8+8],ecx: the next round goes on from there
  code.bytes(0x0f31_48c1e220_4809, 8).bytes(0xd0_4c29c8, 4); // rdtsc; shl rdx,32; or rax,rdx; sub rax,r9
  return code.bytes(0x9d5ec3, 3); // popfq; pop rsi; ret
}

export function boot(at: usize): u64 {
  const bootServices = physRead64(changetype<BootInfo>(at).systemTable + BOOT_SERVICES);
  const found = takePages(1);
  const status = firmware.call(bootServices, ALLOCATE_PAGES, ANY_PAGES, LOADER_DATA, BYTES / PAGE, physOf(found));
  if (status) return status;
  const memory = load<u64>(found);
  // The emulator has its own first touch of each page behind it before the clock runs.
  for (let page = memory; page < memory + BYTES; page += PAGE) physWrite64(page, 0);
  const loop = loopOver(memory);
  let least = loop.call();
  for (let round: u32 = 1; round < ROUNDS; round++) least = min(least, loop.call());
  write("@@ bench touch ");
  writeNumber(least / (TOUCHES / 1000));
  write("\n@@ bench-done\n");
  return 0;
}
