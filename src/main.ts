// What the machine calls.
import { BootInfo } from "./boot/info";
import { bootSheer } from "./boot/boot";
import { startProcessor } from "./boot/processors";
import { traps } from "./control/trap";
import { GuestRun } from "./vcpu/svm/run";
import { scheduler } from "./threads/scheduler";
import { handleExit, handleWake } from "./vcpu/svm/exit";
import { handleVmxExit, handleVmxWake } from "./vcpu/vmx/exit";
import { VmxRun } from "./vcpu/vmx/run";

/** Starts Sheer; returns an EFI_STATUS if the machine is to go on without it. */
export function boot(info: usize): u64 {
  return bootSheer(changetype<BootInfo>(info));
}

/** Starts the processor `index`, which the firmware has sent here; it goes on as the guest, and does not return. */
export function processor(index: u32): void {
  startProcessor(index);
}

/** Answers one exit of the guest. True if its processor has nothing to do until an NMI comes, and then `wake`. */
export function exit(run: usize): bool {
  return handleExit(changetype<GuestRun>(run));
}

/** An NMI came to a processor that had nothing to do; true as above. */
export function wake(run: usize): bool {
  return handleWake(changetype<GuestRun>(run));
}

/** Answers one VM exit under VT-x; true as above. */
export function vmxExit(run: usize): bool {
  return handleVmxExit(changetype<VmxRun>(run));
}

export function vmxWake(run: usize): bool {
  return handleVmxWake(changetype<VmxRun>(run));
}

/** What a thread does from its start to its end, on its stack. */
export function thread(stack: u32): void {
  scheduler.runOn(stack);
}

/**
 * A trap of the hypervisor itself: a processor exception (`kind` is its vector) or a trap of the core (0x100 and its
 * number) at code address `address`. Returns an AfterTrap.
 */
export function trap(kind: u32, address: u64): u32 {
  return traps.report(kind, address);
}
