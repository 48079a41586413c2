// The registers of a processor in guest mode, wherever its vendor's hardware keeps them.

export const Gpr = { Rax: 0, Rcx: 1, Rdx: 2, Rbx: 3, Rsp: 4, Rbp: 5, Rsi: 6, Rdi: 7, R8: 8, R15: 15 } as const;
/** In the order in which instructions encode them, and the two of the system. */
export const Segment = { Es: 0, Cs: 1, Ss: 2, Ds: 3, Fs: 4, Gs: 5, Ldtr: 6, Tr: 7 } as const;

/** Attributes are a descriptor's bits 47:40 in 7:0 and 55:52 in 11:8; the limit is in bytes. */
export interface SegmentRegister {
  readonly selector: number;
  readonly attributes: number;
  readonly limit: number;
  readonly base: bigint;
}

export interface TableRegister {
  readonly limit: number;
  readonly base: bigint;
}

const RFLAGS_IF = 1n << 9n;

export abstract class ProcessorState {
  abstract gpr(index: number): bigint;
  abstract setGpr(index: number, value: bigint): void;
  abstract rip: bigint;
  abstract rflags: bigint;
  /** The next instruction is in the shadow of STI or MOV SS. */
  abstract shadow: boolean;
  abstract blockByMovSs(): void;
  /** It has executed HLT. */
  abstract halted: boolean;
  abstract cpl: number;
  /** As the guest reads it. */
  abstract efer: bigint;
  abstract dr6: bigint;
  abstract dr7: bigint;
  /** CR0, CR2, CR3 and CR4, as the guest reads them. */
  abstract controlRegister(number: number): bigint;
  abstract setControlRegister(number: number, value: bigint): void;
  abstract segment(index: number): SegmentRegister;
  abstract setSegment(index: number, register: SegmentRegister): void;
  abstract descriptorTable(name: "gdtr" | "idtr"): TableRegister;

  get interruptsEnabled(): boolean {
    return (this.rflags & RFLAGS_IF) !== 0n;
  }
  /** STI or CLI without the shadow. */
  set interruptsEnabled(enabled: boolean) {
    this.rflags = enabled ? this.rflags | RFLAGS_IF : this.rflags & ~RFLAGS_IF;
  }
}
