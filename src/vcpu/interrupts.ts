import { InterruptHandler, privateVectors } from "../interrupt/vectors";
import { InterruptWindow } from "../interrupt/window";
import { openInterruptWindow } from "../metal";
import { Vcpu } from "./vcpu";

const NONE: i32 = -1;

/**
 * An external interrupt ended the guest's run while the guest could take it. It is acknowledged here; a private vector
 * calls its handler, whose message to the guest takes its place; any other goes to the guest unchanged.
 */
export function externalInterrupt(vcpu: Vcpu): void {
  const taken = openInterruptWindow(true);
  const vector = taken & InterruptWindow.External ? translate(vcpu, taken & 0xff) : NONE;
  if (vector >= 0) vcpu.injectInterrupt(vector as u32);
  if (taken & InterruptWindow.Nmi) vcpu.tookNmi();
}

/** An NMI ended the guest's run: it is let in, which tells the processor that it has been taken. */
export function nonMaskableInterrupt(vcpu: Vcpu): void {
  if (openInterruptWindow(false) & InterruptWindow.Nmi) vcpu.tookNmi();
}

/** The vector that the guest gets for the one that was taken, or -1. */
function translate(vcpu: Vcpu, vector: u32): i32 {
  const handler = privateVectors.find(vector);
  if (handler) {
    vcpu.interrupts.beginTranslation();
    call(handler);
    return vcpu.interrupts.endTranslation();
  }
  const claimer = privateVectors.claimer(vector);
  if (claimer) {
    vcpu.interrupts.beginDelivery(vector);
    call(claimer);
    vcpu.interrupts.endDelivery();
  }
  return vector as i32;
}

function call(handler: InterruptHandler): void {
  handler.lock.acquire();
  handler.interrupt();
  handler.lock.release();
}
