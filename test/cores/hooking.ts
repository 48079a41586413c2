// Sheer with a device that behaves as memory: CPUID leaf 5348DEA0h hooks RCX bytes from RBX on, and what they hold is at
// RDX. It shows that Sheer carries instructions out as the processor does.
import { readPlain, writePlain } from "../../src/decode/bus";
import { exit as answer } from "../../src/main";
import { MmioDevice } from "../../src/memory/hooks";
import { guestSpace } from "../../src/memory/space";
import { GuestRun } from "../../src/vcpu/svm/run";
import { SvmVcpu } from "../../src/vcpu/svm/vcpu";
import { ExitCode } from "../../src/vcpu/svm/exit-codes";
export { boot, processor, thread, trap, vmxExit, vmxWake, wake } from "../../src/main";

const HOOK_LEAF: u32 = 0x5348_dea0;

class Memory extends MmioDevice {
  base: u64 = 0;
  content: u64 = 0;

  read(address: u64, width: u32): u64 {
    return readPlain(address - this.base + this.content, width);
  }
  write(address: u64, width: u32, value: u64): void {
    writePlain(address - this.base + this.content, width, value);
  }
}
const device = new Memory();

export function exit(run: usize): bool {
  const vcpu = changetype<SvmVcpu>(changetype<GuestRun>(run).vcpu);
  if (vcpu.vmcb.exitCode == ExitCode.Cpuid && (vcpu.vmcb.rax as u32) == HOOK_LEAF) {
    const registers = vcpu.registers;
    device.base = registers.rbx;
    device.content = registers.rdx;
    guestSpace.hook(registers.rbx, registers.rcx, device);
  }
  return answer(run);
}
