// What the machine calls.
import { BootInfo } from "./boot/info";
import { bootSheer } from "./boot/boot";
import { traps } from "./control/trap";
import { GuestRun } from "./vcpu/svm/run";
import { handleExit } from "./vcpu/svm/exit";

/** Starts Sheer; returns an EFI_STATUS if the machine is to go on without it. */
export function boot(info: usize): u64 {
  return bootSheer(changetype<BootInfo>(info));
}

/** Answers one exit of the guest. */
export function exit(run: usize): void {
  handleExit(changetype<GuestRun>(run));
}

/**
 * A trap of the hypervisor itself: a processor exception (`kind` is its vector) or a trap of the core (0x100 and its
 * number) at code address `address`. True if the guest can go on.
 */
export function trap(kind: u32, address: u64): bool {
  return traps.report(kind, address);
}
