// Tells a device that the guest owns to copy between memory and Sheer's block: a network card, or QEMU's "edu". `@@ NAME ok`
// or `@@ NAME wrong` for each. What it changes in the block is the first page, which nothing of Sheer's uses: so that the
// program can be run where nothing fences the device off, and has to find that out.
import { BOOT_INFO, BootInfo } from "../../src/boot/info";
import { physOf, physRead64 } from "../../src/metal";
import { takePages } from "../../src/memory/frames";
import { Attacker } from "./attacker";
import { findBlock, say } from "./block";
import { write } from "./console";
import { Edu } from "./edu";
import { Loopback } from "./loopback";
export * from "./no-guest";

const MARK: u64 = 0x5a5a_1234_5a5a_1234;

/** Where Sheer's block holds its own address: BootInfo.blockBase. */
const BLOCK_BASE_PLACE: u64 = BOOT_INFO + offsetof<BootInfo>("blockBase");

function attackBy(device: Attacker, block: u64): void {
  const memory = physOf(takePages(1));
  say("device-reaches-memory", device.put(memory, MARK) && physRead64(memory) == MARK && device.get(memory) == MARK);
  device.put(block, MARK);
  say("device-does-not-write-block", device.get(block) != MARK);
  say("device-does-not-read-block", device.get(block + BLOCK_BASE_PLACE) != block);
}

export function boot(at: usize): u64 {
  const info = changetype<BootInfo>(at);
  const block = findBlock(info);
  say("block-found", block != 0);
  const card = new Loopback();
  const edu = new Edu();
  const hasCard = card.begin();
  say("device-found", hasCard || edu.begin());
  if (hasCard) attackBy(card, block);
  else attackBy(edu, block);
  write("@@ dma-done\n");
  return 0;
}
