import { Registers } from "../vcpu";

/** What the loop around VMRUN knows of a processor: the guest's registers and two VMCBs. The offsets are metal/svm.h's too. */
@unmanaged
export class GuestRun extends Registers {
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
}
