import { Registers } from "../vcpu";

/** How a run of the guest ended. metal/vmx.h has the same. */
export const enum RunEnd {
  Exit = 0,
  /** VMLAUNCH or VMRESUME failed: VM-instruction error. */
  Failed = 1,
  /** It did not begin, because an NMI had come. */
  Nmi = 2,
}

/** What the loop around VMLAUNCH and VMRESUME knows of a processor. The offsets are metal/vmx.h's too. */
@unmanaged
export class VmxRun {
  // 0x00: Registers, 18 words, of which the last two are in the VMCS while the guest runs
  r00: u64;
  r01: u64;
  r02: u64;
  r03: u64;
  r04: u64;
  r05: u64;
  r06: u64;
  r07: u64;
  r08: u64;
  r09: u64;
  r10: u64;
  r11: u64;
  r12: u64;
  r13: u64;
  r14: u64;
  r15: u64;
  r16: u64;
  r17: u64;
  /** 0x90: a RunEnd. */
  end: u64;
  /** 0x98: 1 once the VMCS has been launched. */
  launched: u64;
  /** 0xa0: the processor this block belongs to. */
  vcpu: usize;
  /** 0xa8: what an instruction of the machine writes to memory. */
  scratch0: u64;
  scratch1: u64;
  scratch2: u64;
  scratch3: u64;

  get registers(): Registers {
    return changetype<Registers>(changetype<usize>(this));
  }
}
