// Looks for Sheer's block in the firmware's memory map and attacks it with plain reads and writes; tries the registers
// of AMD-V that the guest must not have. `@@ NAME ok` or `@@ NAME wrong` for each, and the number of writes dropped.
import { BootInfo } from "../../src/boot/info";
import { cpuid, firmwareCall, physOf, physRead64, physWrite64, rdmsr, tryRdmsr, tryWrmsr } from "../../src/metal";
import { takePages } from "../../src/memory/frames";
import { write, writeNumber } from "./console";
export * from "./no-guest";

/** EFI_SYSTEM_TABLE.BootServices and EFI_BOOT_SERVICES.GetMemoryMap (UEFI 2.10, 4.3 and 4.4). */
const BOOT_SERVICES: u64 = 96;
const GET_MEMORY_MAP: u64 = 56;
const MAP_PAGES: u32 = 8;
const RESERVED: u32 = 0;

const BLOCK_SIZE: u64 = 16 << 20;
const MARK: u64 = 0x5a5a_1234_5a5a_1234;

const enum Msr {
  Efer = 0xc000_0080,
  VmCr = 0xc001_0114,
  VmHsavePa = 0xc001_0117,
}
const SVME: u64 = 1 << 12;
const RESERVED_EFER_BIT: u64 = 1 << 40;
const SVMDIS: u64 = 1 << 4;

function say(name: string, holds: bool): void {
  write("@@ ");
  write(name);
  write(holds ? " ok\n" : " wrong\n");
}

/** Physical base of a reserved region of 16 MiB on a 2 MiB border that is not this program's own, or 0. */
function findBlock(info: BootInfo): u64 {
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

function attack(block: u64): void {
  let zero = true;
  let unchanged = true;
  for (let offset: u64 = 0; offset < BLOCK_SIZE; offset += 0x8_0000 - 8) {
    const address = block + (offset & ~7);
    if (physRead64(address) != 0) zero = false;
    physWrite64(address, MARK);
    if (physRead64(address) != 0) unchanged = false;
  }
  say("block-reads-zero", zero);
  say("block-keeps-zero", unchanged);
}

function tryRegisters(): void {
  const efer = rdmsr(Msr.Efer);
  say("efer-hides-svme", (efer & SVME) == 0);
  say("efer-refuses-svme", !tryWrmsr(Msr.Efer, efer | SVME));
  say("efer-refuses-reserved", !tryWrmsr(Msr.Efer, efer | RESERVED_EFER_BIT));
  say("efer-takes-itself", tryWrmsr(Msr.Efer, efer) && rdmsr(Msr.Efer) == efer);
  const value = takePages(1);
  say("vm-cr-disabled", tryRdmsr(Msr.VmCr, value) && (load<u64>(value) & SVMDIS) != 0);
  say("vm-hsave-refused", !tryWrmsr(Msr.VmHsavePa, 0x1000));
  cpuid(0x8000_0001, 0, value);
  say("cpuid-hides-svm", (load<u32>(value, 8) & (1 << 2)) == 0);
  cpuid(0x8000_000a, 0, value);
  say("cpuid-hides-svm-leaf", load<u64>(value) == 0 && load<u64>(value, 24) == 0);
  cpuid(0x4000_0000, 0, value);
  say("cpuid-signature", load<u32>(value, 24) == 0x65656853);
}

export function boot(at: usize): u64 {
  const info = changetype<BootInfo>(at);
  const block = findBlock(info);
  say("block-found", block != 0);
  if (block) attack(block);
  tryRegisters();
  write("@@ isolation-done ");
  writeNumber(block >> 20);
  write("\n");
  return 0;
}
