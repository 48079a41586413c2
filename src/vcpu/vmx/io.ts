import { advanceTo } from "../exits";
import { accessPort, accessPortByString } from "../io";
import { VmxVcpu } from "./vcpu";

/** The qualification of an I/O exit (Intel SDM 3, table 28-5). */
const enum IoQualification {
  /** Bytes less one. */
  Size = 7,
  In = 1 << 3,
  String = 1 << 4,
}

/** IN, OUT, INS or OUTS to an intercepted port; `next` is the address of the next instruction. */
export function portAccess(vcpu: VmxVcpu, qualification: u32, next: u64): void {
  if (qualification & IoQualification.String) return accessPortByString(vcpu);
  const width = (qualification & IoQualification.Size) + 1;
  accessPort(vcpu.registers, qualification >> 16, width, (qualification & IoQualification.In) != 0);
  advanceTo(vcpu, next);
}
