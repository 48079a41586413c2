import { carryOutPort } from "../../decode/emulate";
import { Outcome } from "../../decode/outcome";
import { guestSpace } from "../../memory/space";
import { Exception } from "../vcpu";
import { guestPorts } from "../io";
import { SvmVcpu } from "./vcpu";

/** EXITINFO1 of an IOIO exit (AMD APM 2, 15.10.2). */
const enum IoInfo {
  In = 1 << 0,
  String = 1 << 2,
}

/** IN, OUT, INS or OUTS to an intercepted port. EXITINFO2 is the address of the next instruction. */
export function portAccess(vcpu: SvmVcpu): void {
  const info = vcpu.vmcb.exitInfo1 as u32;
  const port = info >> 16;
  const width = (info >> 4) & 7;
  const registers = vcpu.registers;
  if (info & IoInfo.String) return portString(vcpu);
  if (info & IoInfo.In) {
    const value = guestPorts.read(port, width) as u64;
    if (width == 4) registers.rax = value;
    else if (width == 2) registers.rax = (registers.rax & ~0xffff) | value;
    else registers.rax = (registers.rax & ~0xff) | value;
  } else {
    const value = registers.rax as u32;
    guestPorts.write(port, width, width == 4 ? value : width == 2 ? value & 0xffff : value & 0xff);
  }
  vcpu.advanceTo(vcpu.vmcb.exitInfo2);
}

/** The decoder finds segment, address size and repetition itself: not every processor reports them. */
function portString(vcpu: SvmVcpu): void {
  const outcome = carryOutPort(vcpu, guestSpace.bus);
  if (outcome == Outcome.Done) vcpu.finishInstruction();
  else if (outcome == Outcome.Unknown) vcpu.raise(Exception.InvalidOpcode);
}
