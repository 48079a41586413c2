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
export class VmxRun extends Registers {
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
}
