import { advanceTo } from "../exits";
import { accessPort, accessPortByString } from "../io";
import { SvmVcpu } from "./vcpu";

/** EXITINFO1 of an IOIO exit (AMD APM 2, 15.10.2). */
const enum IoInfo {
  In = 1 << 0,
  String = 1 << 2,
}

/** IN, OUT, INS or OUTS to an intercepted port. EXITINFO2 is the address of the next instruction. */
export function portAccess(vcpu: SvmVcpu): void {
  const info = vcpu.vmcb.exitInfo1 as u32;
  if (info & IoInfo.String) return accessPortByString(vcpu);
  accessPort(vcpu.registers, info >> 16, (info >> 4) & 7, (info & IoInfo.In) != 0);
  advanceTo(vcpu, vcpu.vmcb.exitInfo2);
}
