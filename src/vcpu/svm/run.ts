import { Registers } from "../vcpu";

/** What the loop around VMRUN knows of a processor: the guest's registers and two VMCBs. The offsets are metal/svm.h's too. */
@unmanaged
export class GuestRun {
  // 0x00: Registers, 18 words
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
  /** 0x90: physical address of the guest's VMCB. */
  guestVmcb: u64;
  /** 0x98: physical address of the VMCB that keeps the host's FS, GS, TR, LDTR and system-call MSRs. */
  hostVmcb: u64;
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
