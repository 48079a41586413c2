import { cpuid, rdmsr } from "../metal";
import { MsrIntercepts } from "../vcpu/msr-intercepts";
import { FIXED_END, FIXED_REGISTERS, FixedRanges } from "./fixed-ranges";
import { MemoryType } from "./memory-type";

/** Memory type range registers (AMD APM 2, 7.7; Intel SDM 3, 12.11). */
const MTRR_CAP: u32 = 0xfe;
const MTRR_PHYS_BASE_0: u32 = 0x200;
const MTRR_DEF_TYPE: u32 = 0x2ff;
/** CPUID Fn0000_0001 EDX: the processor has them. */
const MTRR: u32 = 1 << 12;
/** Of MTRRcap. */
const VARIABLE_COUNT: u64 = 0xff;
/** Of MTRRdefType. */
const ENABLED: u64 = 1 << 11;
const FIXED_ENABLED: u64 = 1 << 10;
/** Of MTRRphysMask. */
const VALID: u64 = 1 << 11;
const TYPE: u64 = 0x07;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

const MAXIMUM_RANGES: u32 = 32;
const PAGE: u64 = 4096;
const FOUR_GIGABYTES: u64 = 1 << 32;
/** In place of a type: there is none, or not one. */
export const NONE: u32 = 0x100;

/** The type where two ranges overlap. Where that is undefined, it is the one that is right for everything. */
function overlap(a: u32, b: u32): u32 {
  if (a == b || b == NONE) return a;
  if (a == NONE) return b;
  const throughOverBack = min(a, b) == MemoryType.WriteThrough && max(a, b) == MemoryType.WriteBack;
  return throughOverBack ? MemoryType.WriteThrough : MemoryType.Uncacheable;
}

/**
 * The memory types of the machine's addresses, as the guest has set the MTRRs. Its processors are to have equal ones: what
 * one of them writes holds for all. On AMD-V the MTRRs themselves apply to the addresses that nested paging yields, and a
 * nested page only must not be larger than a stretch of one type (AMD APM 2, 15.25.8); extended page tables name the type.
 */
class MemoryTypes {
  private variableCount: u32 = 0;
  private defaultRegister: u64 = 0;
  private present: bool = false;
  private readonly fixed: FixedRanges = new FixedRanges();
  private readonly bases: StaticArray<u64> = new StaticArray<u64>(MAXIMUM_RANGES);
  private readonly masks: StaticArray<u64> = new StaticArray<u64>(MAXIMUM_RANGES);
  /** From 4 GiB to here, if that is above, memory is write-back where no range says otherwise, whatever the default is. */
  writeBackEnd: u64 = 0;

  /** Reads the registers as the firmware has left them. */
  begin(): void {
    const registers = memory.data(32, 8);
    cpuid(1, 0, registers);
    this.present = (load<u32>(registers, 16) & MTRR) != 0;
    if (!this.present) return;
    this.variableCount = min((rdmsr(MTRR_CAP) & VARIABLE_COUNT) as u32, MAXIMUM_RANGES);
    for (let i: u32 = 0; i < this.count; i++) this.set(this.register(i), rdmsr(this.register(i)));
  }

  /** Has the guest's writes of all these registers cause exits. */
  interceptBy(intercepts: MsrIntercepts): void {
    for (let i: u32 = 0; i < this.count; i++) intercepts.interceptWrite(this.register(i));
  }

  /** How many registers there are. */
  private get count(): u32 {
    return this.present ? 1 + FIXED_REGISTERS + 2 * this.variableCount : 0;
  }
  private register(i: u32): u32 {
    if (i == 0) return MTRR_DEF_TYPE;
    return i <= FIXED_REGISTERS ? this.fixed.register(i - 1) : MTRR_PHYS_BASE_0 + i - 1 - FIXED_REGISTERS;
  }

  /** Whether a register says what types memory has. */
  has(index: u32): bool {
    if (!this.present) return false;
    return index == MTRR_DEF_TYPE || this.fixed.has(index) || index - MTRR_PHYS_BASE_0 < 2 * this.variableCount;
  }

  get(index: u32): u64 {
    if (index == MTRR_DEF_TYPE) return this.defaultRegister;
    if (this.fixed.has(index)) return this.fixed.get(index);
    const range = (index - MTRR_PHYS_BASE_0) >> 1;
    return index & 1 ? unchecked(this.masks[range]) : unchecked(this.bases[range]);
  }

  /** Notes what a register, of those that `has` knows, has been set to. */
  set(index: u32, value: u64): void {
    if (index == MTRR_DEF_TYPE) this.defaultRegister = value;
    else if (this.fixed.has(index)) this.fixed.set(index, value);
    else if (index & 1) unchecked((this.masks[(index - MTRR_PHYS_BASE_0) >> 1] = value));
    else unchecked((this.bases[(index - MTRR_PHYS_BASE_0) >> 1] = value));
  }

  /** The lowest address whose type a register has a say in as it stands; `reachEnd` is the end, and 0 if it has none. */
  reachStart(index: u32): u64 {
    if (index == MTRR_DEF_TYPE) return 0;
    if (this.fixed.has(index)) return this.fixed.start(index);
    const range = (index - MTRR_PHYS_BASE_0) >> 1;
    return unchecked(this.bases[range]) & unchecked(this.masks[range]) & ADDRESS;
  }
  reachEnd(index: u32): u64 {
    if (index == MTRR_DEF_TYPE) return ADDRESS + PAGE;
    if (this.fixed.has(index)) return this.fixed.end(index);
    const range = (index - MTRR_PHYS_BASE_0) >> 1;
    const mask = unchecked(this.masks[range]);
    if (!(mask & VALID)) return 0;
    return ((unchecked(this.bases[range]) & ADDRESS) | (ADDRESS & ~mask)) + PAGE;
  }

  /** Whether all of an aligned page of `size` bytes has one type. */
  uniform(base: u64, size: u64): bool {
    return this.typeOf(base, size) != NONE;
  }

  /**
   * The type of all of an aligned page of `size` bytes, or NONE if it may have several. Fixed ranges come before variable
   * ones, and these before the default (AMD APM 2, 7.7; Intel SDM 3, 12.11.4.1).
   */
  typeOf(base: u64, size: u64 = PAGE): u32 {
    if (!this.present) return MemoryType.WriteBack;
    if (!(this.defaultRegister & ENABLED)) return MemoryType.Uncacheable;
    if (base >= FIXED_END || !(this.defaultRegister & FIXED_ENABLED)) return this.variableType(base, size);
    const type = this.fixed.typeOf(base);
    if (size == PAGE) return type;
    return this.fixed.areAll(type) && this.variableType(base, size) == type ? type : NONE;
  }

  private variableType(base: u64, size: u64): u32 {
    const within = size - 1;
    let covering: u32 = NONE;
    for (let i: u32 = 0; i < this.variableCount; i++) {
      if (this.touches(i, base, within) && !this.cuts(i, within)) covering = overlap(this.rangeType(i), covering);
    }
    if (covering == MemoryType.Uncacheable) return covering;
    const whole = covering == NONE ? this.defaultType(base, size) : covering;
    for (let i: u32 = 0; i < this.variableCount; i++) {
      if (!this.touches(i, base, within) || !this.cuts(i, within)) continue;
      const type = this.rangeType(i);
      const changes = covering == NONE ? type != whole : overlap(covering, type) != covering;
      if (changes) return NONE;
    }
    return whole;
  }

  private rangeType(i: u32): u32 {
    return (unchecked(this.bases[i]) & TYPE) as u32;
  }

  /** Whether a range may have an address in a page: those of its mask's bits that name the page agree. */
  private touches(i: u32, base: u64, within: u64): bool {
    const mask = unchecked(this.masks[i]);
    return (mask & VALID) != 0 && ((base ^ unchecked(this.bases[i])) & mask & ADDRESS & ~within) == 0;
  }

  /** Whether a range tells parts of a page apart: its mask has bits of the addresses in it. Masks may have holes. */
  private cuts(i: u32, within: u64): bool {
    return (unchecked(this.masks[i]) & ADDRESS & within) != 0;
  }

  private defaultType(base: u64, size: u64): u32 {
    const type = (this.defaultRegister & TYPE) as u32;
    if (base < FOUR_GIGABYTES || base >= this.writeBackEnd || type == MemoryType.WriteBack) return type;
    return base + size <= this.writeBackEnd ? MemoryType.WriteBack : NONE;
  }
}

export const memoryTypes = new MemoryTypes();
