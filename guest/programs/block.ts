import { BootInfo } from "../../src/boot/info";
import { firmwareCall, physOf, physRead64 } from "../../src/metal";
import { takePages } from "../../src/memory/frames";
import { write } from "./console";

/** EFI_SYSTEM_TABLE.BootServices and EFI_BOOT_SERVICES.GetMemoryMap (UEFI 2.10, 4.3 and 4.4). */
const BOOT_SERVICES: u64 = 96;
const GET_MEMORY_MAP: u64 = 56;
const MAP_PAGES: u32 = 8;
const RESERVED: u32 = 0;

export const BLOCK_SIZE: u64 = 16 << 20;

/** Writes a verdict: `@@ NAME ok` or `@@ NAME wrong`. */
export function say(name: string, holds: bool): void {
  write("@@ ");
  write(name);
  write(holds ? " ok\n" : " wrong\n");
}

/** Physical base of a reserved region of 16 MiB on a 2 MiB border that is not this program's own, or 0. */
export function findBlock(info: BootInfo): u64 {
  const map = takePages(MAP_PAGES);
  const args = takePages(1);
  const sizes = args + 64;
  store<u64>(sizes, (MAP_PAGES as u64) << 12);
  for (let i: usize = 0; i < 5; i++) store<u64>(args + (i << 3), i == 1 ? physOf(map) : physOf(sizes + (i << 3)));
  const services = physRead64(info.systemTable + BOOT_SERVICES);
  if (firmwareCall(physRead64(services + GET_MEMORY_MAP), args, 5) != 0) return 0;
  const end = map + (load<u64>(sizes) as usize);
  const step = load<u64>(sizes, 24) as usize;
  for (let at = map; at < end; at += step) {
    const base = load<u64>(at, 8);
    const size = load<u64>(at, 24) << 12;
    if (load<u32>(at) == RESERVED && size >= BLOCK_SIZE && (base & 0x1f_ffff) == 0) {
      // Both blocks, this program's and Sheer's, may lie in one descriptor.
      for (let block = base; block + BLOCK_SIZE <= base + size; block += BLOCK_SIZE) {
        if (block != info.blockBase) return block;
      }
    }
  }
  return 0;
}
