import { guestInterrupts } from "../interrupt/guest";
import { privateVectors } from "../interrupt/vectors";
import { openInterruptWindow } from "../metal";
import { Vcpu } from "./vcpu";

/** What openInterruptWindow returns beside the vector in 7:0. */
const enum InterruptWindow {
  External = 1 << 8,
  Nmi = 1 << 9,
}

/**
 * An external interrupt ended the guest's run while the guest could take it. It is acknowledged here; a private vector
 * calls its handler, whose message to the guest takes its place; any other goes to the guest unchanged.
 */
export function externalInterrupt(vcpu: Vcpu): void {
  const taken = openInterruptWindow(true);
  if (taken & InterruptWindow.Nmi) vcpu.injectNmi();
  if (!(taken & InterruptWindow.External)) return;
  const vector = taken & 0xff;
  const handler = privateVectors.find(vector);
  if (!handler) return vcpu.injectInterrupt(vector);
  guestInterrupts.beginTranslation();
  handler.interrupt();
  const translated = guestInterrupts.endTranslation();
  if (translated >= 0) vcpu.injectInterrupt(translated as u32);
}
