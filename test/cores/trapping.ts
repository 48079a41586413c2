// Sheer with a fault of its own to call up: CPUID leaf 5348DEADh traps in the way that ECX says, once each, and is
// answered as usual afterwards. It shows that a trap is reported by name and that the guest lives on.
import { exit as answer } from "../../src/main";
import { scheduler } from "../../src/threads/scheduler";
import { ANYWHERE, Thread } from "../../src/threads/thread";
import { GuestRun } from "../../src/vcpu/svm/run";
import { SvmVcpu } from "../../src/vcpu/svm/vcpu";
import { ExitCode } from "../../src/vcpu/svm/exit-codes";
export { boot, processor, thread, trap, vmxExit, vmxWake, wake } from "../../src/main";

const TRAP_LEAF: u32 = 0x5348_dead;
const enum Fault {
  Unreachable,
  NullPointer,
  OutOfBounds,
  DivideByZero,
  StackOverflow,
  InThread,
  Count,
}
let done: u32 = 0;

/** Leaves its stack and comes back, and then goes beyond the stack's end. */
class FailingThread extends Thread {
  constructor() {
    super(ANYWHERE);
  }
  run(): void {
    const before = failDeeper(0);
    scheduler.schedule();
    store<u64>(8192 + 64, failDeeper(1) + before);
  }
}
const failing = new FailingThread();

export function exit(run: usize): bool {
  const vcpu = changetype<SvmVcpu>(changetype<GuestRun>(run).vcpu);
  if (vcpu.vmcb.exitCode == ExitCode.Cpuid && (vcpu.vmcb.rax as u32) == TRAP_LEAF) {
    const fault = vcpu.registers.rcx as u32;
    if (fault < (Fault.Count as u32) && !(done & (1 << fault))) {
      done |= 1 << fault;
      if (fault == Fault.InThread) scheduler.start(failing);
      else store<u64>(8192 + 64, failAs(fault)); // kept: the result must not be optimised away
    }
  }
  return answer(run);
}

function failAs(fault: u32): u64 {
  switch (fault) {
    case Fault.Unreachable:
      return failUnreachable();
    case Fault.NullPointer:
      return failAt(8);
    case Fault.OutOfBounds:
      return failAt(0xf000_0000);
    case Fault.DivideByZero:
      return failDividing(1, 0);
    default:
      return failDeeper(1);
  }
}

function failUnreachable(): u64 {
  unreachable();
  return 0;
}
function failAt(pointer: usize): u64 {
  return load<u64>(pointer);
}
function failDividing(a: u32, b: u32): u64 {
  return a / b;
}
function failDeeper(depth: u64): u64 {
  return depth ? failDeeper(depth + 1) * 3 + depth : 0;
}
