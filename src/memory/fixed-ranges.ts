/** The fixed ranges end where the first MiB does. */
export const FIXED_END: u64 = 1 << 20;
export const FIXED_REGISTERS: u32 = 11;
const TYPE: u64 = 0x07;

// Each register has eight types, a byte each, for eight ranges of one size (AMD APM 2, 7.7; Intel SDM 3, 12.11.2.2):
//
//     0           64 KiB each         8_0000  16 KiB each  c_0000  4 KiB each                      10_0000
//     | 250h                          | 258h  | 259h       | 268h | 269h | ... | 26fh |

const MTRR_FIX_64K: u32 = 0x250;
const MTRR_FIX_16K: u32 = 0x258;
const MTRR_FIX_4K: u32 = 0x268;
const START_16K: u64 = 0x8_0000;
const START_4K: u64 = 0xc_0000;

/** The fixed-range MTRRs, in the order of their ranges. */
export class FixedRanges {
  private readonly values: StaticArray<u64> = new StaticArray<u64>(FIXED_REGISTERS);

  /** The MSR that is `i`th. */
  register(i: u32): u32 {
    return i == 0 ? MTRR_FIX_64K : i <= 2 ? MTRR_FIX_16K + i - 1 : MTRR_FIX_4K + i - 3;
  }

  has(index: u32): bool {
    return index == MTRR_FIX_64K || index - MTRR_FIX_16K < 2 || index - MTRR_FIX_4K < 8;
  }

  get(index: u32): u64 {
    return unchecked(this.values[numberOf(index)]);
  }
  set(index: u32, value: u64): void {
    unchecked((this.values[numberOf(index)] = value));
  }

  /** Where a register's ranges begin and end. */
  start(index: u32): u64 {
    if (index == MTRR_FIX_64K) return 0;
    if (index < MTRR_FIX_4K) return START_16K + ((index - MTRR_FIX_16K) as u64) * 0x2_0000;
    return START_4K + ((index - MTRR_FIX_4K) as u64) * 0x8000;
  }
  end(index: u32): u64 {
    return index == MTRR_FIX_64K ? START_16K : this.start(index) + (index < MTRR_FIX_4K ? 0x2_0000 : 0x8000);
  }

  /** The type of the 4 KiB at an address below FIXED_END. AMD's bits 4:3 of a range say where accesses go, not their type. */
  typeOf(address: u64): u32 {
    const range = rangeOf(address);
    return ((unchecked(this.values[range >> 3]) >> (((range & 7) << 3) as u64)) & TYPE) as u32;
  }

  /** Whether all ranges have one type. */
  areAll(type: u32): bool {
    const each = TYPE * 0x0101_0101_0101_0101;
    const wanted = (type as u64) * 0x0101_0101_0101_0101;
    for (let i: u32 = 0; i < FIXED_REGISTERS; i++) if ((unchecked(this.values[i]) & each) != wanted) return false;
    return true;
  }
}

function numberOf(index: u32): u32 {
  return index == MTRR_FIX_64K ? 0 : index < MTRR_FIX_4K ? index - MTRR_FIX_16K + 1 : index - MTRR_FIX_4K + 3;
}

/** Ranges counted from address 0, eight a register. */
function rangeOf(address: u64): u32 {
  if (address < START_16K) return (address >> 16) as u32;
  if (address < START_4K) return 8 + (((address - START_16K) >> 14) as u32);
  return 24 + (((address - START_4K) >> 12) as u32);
}
