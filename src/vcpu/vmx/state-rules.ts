import { Field } from "./vmcs";

/** Whoever can read the fields of a VMCS. */
export abstract class FieldReader {
  abstract read(field: Field): u64;
}

/** What depends on the processor in the rules for a guest's state. */
export class StateLimits {
  /** IA32_VMX_CR0_FIXED0 and so on: bits that must be 1, and bits that may be (Intel SDM 3, A.7 and A.8). */
  cr0Fixed0: u64 = 0;
  cr0Fixed1: u64 = 0;
  cr4Fixed0: u64 = 0;
  cr4Fixed1: u64 = 0;
  /** Bits of IA32_EFER that this processor has. */
  efer: u64 = 0;
  /** Activity states beyond Active: HLT, shutdown, wait-for-SIPI in 2:0 (IA32_VMX_MISC 8:6). */
  activityStates: u32 = 0;
  /** Widths of addresses in bits. */
  physicalBits: u64 = 0;
  linearBits: u64 = 0;

  isPhysical(address: u64): bool {
    return address >> this.physicalBits == 0;
  }
  isCanonical(address: u64): bool {
    const unused = 64 - this.linearBits;
    return ((((address as i64) << (unused as i64)) >> (unused as i64)) as u64) == address;
  }
}

/** The first rule that was found broken. */
export class Finding {
  field: Field = 0;
  rule: string;

  constructor() {
    this.rule = "";
  }

  /** `holds`; if not, `field` is to blame. `rule` says in words what must be. */
  require(holds: bool, field: Field, rule: string): bool {
    if (!holds) {
      this.field = field;
      this.rule = rule;
    }
    return holds;
  }
}
