// Looks for Sheer's block in the firmware's memory map and attacks it: with plain reads and writes, by page tables, by
// descriptors, by the APIC base; tries the registers of AMD-V that the guest must not have. `@@ NAME ok` or
// `@@ NAME wrong` for each.
import { BootInfo } from "../../src/boot/info";
import { cpuid, physRead64, physWrite64, rdmsr, tryRdmsr, tryWrmsr } from "../../src/metal";
import { takePages } from "../../src/memory/frames";
import { BLOCK_SIZE, findBlock, say } from "./block";
import { write, writeNumber } from "./console";
import { tryProtectionKeys } from "./keys";
import { attackByPaging } from "./paging";
import { attackByQueue } from "./queue";
export * from "./no-guest";

const MARK: u64 = 0x5a5a_1234_5a5a_1234;

const enum Msr {
  ApicBase = 0x1b,
  Efer = 0xc000_0080,
  VmCr = 0xc001_0114,
  VmHsavePa = 0xc001_0117,
}
const APIC_BASE_FLAGS: u64 = 0xfff;
const SVME: u64 = 1 << 12;
const RESERVED_EFER_BIT: u64 = 1 << 40;
const SVMDIS: u64 = 1 << 4;

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

/** Moves the local APIC over the block, where its registers would then be read and written. */
function attackByApicBase(block: u64): void {
  const base = rdmsr(Msr.ApicBase);
  tryWrmsr(Msr.ApicBase, block | (base & APIC_BASE_FLAGS));
  physWrite64(block + 0x80, MARK);
  say("block-under-apic-reads-zero", physRead64(block + 0x30) == 0 && physRead64(block + 0x80) == 0);
  say("apic-stays", tryWrmsr(Msr.ApicBase, base) && rdmsr(Msr.ApicBase) == base);
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
  if (block) {
    attack(block);
    attackByPaging(info, block);
    tryProtectionKeys(info);
    attackByApicBase(block);
    attackByQueue(block);
  }
  tryRegisters();
  write("@@ isolation-done ");
  writeNumber(block >> 20);
  write("\n");
  return 0;
}
