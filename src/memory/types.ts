import { cpuid, rdmsr } from "../metal";

/** Memory type range registers (AMD APM 2, 7.7). */
const enum Msr {
  MtrrCap = 0xfe,
  MtrrPhysBase0 = 0x200,
  MtrrDefType = 0x2ff,
}
const VARIABLE_COUNT: u64 = 0xff;
const ENABLED: u64 = 1 << 11;
const FIXED_ENABLED: u64 = 1 << 10;
const RANGE_VALID: u64 = 1 << 11;
const FIXED_END: u64 = 1 << 20;
const MAXIMUM_RANGES: u32 = 32;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/**
 * Where the memory type may change, from the MTRRs as they stand at boot. On AMD-V the MTRRs apply to the addresses
 * that nested paging yields, so a nested page only must not be larger than a stretch of one type (AMD APM 2, 15.25.8).
 */
class MemoryTypes {
  private enabled: bool = false;
  private fixed: bool = false;
  private ranges: u32 = 0;
  private readonly bases: StaticArray<u64> = new StaticArray<u64>(MAXIMUM_RANGES);
  private readonly masks: StaticArray<u64> = new StaticArray<u64>(MAXIMUM_RANGES);

  begin(): void {
    const registers = memory.data(32, 8);
    cpuid(1, 0, registers);
    if (!(load<u32>(registers, 16) & (1 << 12))) return; // CPUID Fn0000_0001 EDX[MTRR]
    const defaultType = rdmsr(Msr.MtrrDefType);
    this.enabled = (defaultType & ENABLED) != 0;
    this.fixed = (defaultType & FIXED_ENABLED) != 0;
    const count = min((rdmsr(Msr.MtrrCap) & VARIABLE_COUNT) as u32, MAXIMUM_RANGES);
    for (let i: u32 = 0; i < count; i++) {
      const mask = rdmsr(Msr.MtrrPhysBase0 + 2 * i + 1);
      if (!(mask & RANGE_VALID)) continue;
      unchecked((this.bases[this.ranges] = rdmsr(Msr.MtrrPhysBase0 + 2 * i) & ADDRESS));
      unchecked((this.masks[this.ranges] = mask & ADDRESS));
      this.ranges++;
    }
  }

  /** Whether all of an aligned page of `size` bytes (a power of two) has one type. */
  uniform(base: u64, size: u64): bool {
    if (!this.enabled) return true;
    if (this.fixed && base < FIXED_END) return size <= 4096;
    const within = size - 1;
    for (let i: u32 = 0; i < this.ranges; i++) {
      const mask = unchecked(this.masks[i]);
      // A mask that looks at address bits inside the page tells its parts apart, if the page is of its range at all.
      if ((mask & within) != 0 && ((base ^ unchecked(this.bases[i])) & mask & ~within) == 0) return false;
    }
    return true;
  }
}

export const memoryTypes = new MemoryTypes();
