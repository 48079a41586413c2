import { Instruction } from "../decode/instruction";

/** The order in which instructions encode segment registers. */
export const enum Segment {
  Es,
  Cs,
  Ss,
  Ds,
  Fs,
  Gs,
}

/** The order in which instructions encode general registers. */
export const enum Gpr {
  Rax,
  Rcx,
  Rdx,
  Rbx,
  Rsp,
  Rbp,
  Rsi,
  Rdi,
  R8,
  R9,
  R10,
  R11,
  R12,
  R13,
  R14,
  R15,
}

export const enum Exception {
  DivideError = 0,
  Debug = 1,
  InvalidOpcode = 6,
  DoubleFault = 8,
  StackFault = 12,
  GeneralProtection = 13,
  PageFault = 14,
  AlignmentCheck = 17,
}

export const enum Rflags {
  Cf = 1 << 0,
  Pf = 1 << 2,
  Af = 1 << 4,
  Zf = 1 << 6,
  Sf = 1 << 7,
  Tf = 1 << 8,
  If = 1 << 9,
  Df = 1 << 10,
  Of = 1 << 11,
  Rf = 1 << 16,
  Ac = 1 << 18,
}

/** The guest's general registers, RIP and RFLAGS: in memory from exit to entry, on every vendor's processor. */
@unmanaged
export class Registers {
  rax: u64;
  rcx: u64;
  rdx: u64;
  rbx: u64;
  rsp: u64;
  rbp: u64;
  rsi: u64;
  rdi: u64;
  r8: u64;
  r9: u64;
  r10: u64;
  r11: u64;
  r12: u64;
  r13: u64;
  r14: u64;
  r15: u64;
  rip: u64;
  rflags: u64;

  /** General register by its number in instructions, 64 bits. */
  @inline get(index: u32): u64 {
    return load<u64>(changetype<usize>(this) + ((index as usize) << 3));
  }
  @inline set(index: u32, value: u64): void {
    store<u64>(changetype<usize>(this) + ((index as usize) << 3), value);
  }
}

/** One guest processor, as everything outside vcpu/svm and vcpu/vmx sees it. */
export abstract class Vcpu {
  /** Where the decoder takes this processor's instructions apart. */
  readonly instruction: Instruction = new Instruction();

  constructor(readonly registers: Registers) {}

  abstract cr0(): u64;
  abstract cr3(): u64;
  abstract cr4(): u64;
  abstract efer(): u64;
  /** Current privilege level, 0 to 3. */
  abstract cpl(): u32;
  /** Operand and address size that the code segment gives by default: 16, 32 or 64 bits. */
  abstract codeBits(): u32;
  /** Base of a segment as the processor adds it to an offset in the current mode (0 in 64-bit mode but for FS and GS). */
  abstract segmentBase(segment: Segment): u64;
  /** Limit of a segment in bytes, expanded. */
  abstract segmentLimit(segment: Segment): u32;
  abstract segmentSelector(segment: Segment): u32;
  /** A segment's descriptor bits 47:40 in 7:0 and 55:52 in 11:8, as the VMCB keeps them (APM 2, 15.5.1 and appendix B). */
  abstract segmentAttributes(segment: Segment): u32;
  abstract setCr2(value: u64): void;
  /** Delivers an exception to the guest at its current RIP before its next instruction. */
  abstract raise(exception: Exception): void;
  abstract raiseWithError(exception: Exception, error: u32): void;
  /** Delivers an external interrupt, which the guest must be able to take, or an NMI before its next instruction. */
  abstract injectInterrupt(vector: u32): void;
  abstract injectNmi(): void;

  /** Page fault with CR2 set to the guest-virtual `address`. */
  raisePageFault(address: u64, error: u32): void {
    this.setCr2(address);
    this.raiseWithError(Exception.PageFault, error);
  }
}
