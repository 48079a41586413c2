import { processors } from "../vcpu/processors";
import { Vcpu } from "../vcpu/vcpu";

/** Delivery modes of the interrupt command register (AMD APM 2, 16.5). */
export const enum DeliveryMode {
  Fixed = 0,
  LowestPriority = 1,
  Smi = 2,
  RemoteRead = 3,
  Nmi = 4,
  Init = 5,
  Startup = 6,
}
/** Fields of the register's low half. */
const enum Command {
  LogicalDestination = 1 << 11,
  Assert = 1 << 14,
  LevelTriggered = 1 << 15,
}
/** Destination shorthands, bits 19:18. */
const enum Shorthand {
  None = 0,
  Self = 1,
  AllIncludingSelf = 2,
  AllButSelf = 3,
}

/**
 * Carries out what the guest sends by its interrupt command register if that is not for real APICs: INIT and start-up
 * interrupts, and with several processors NMIs too, which Sheer tells from its own so. False for all others.
 * `destination` is the high half's field, of 8 bits or in x2APIC mode 32.
 */
export function sendInterprocessor(command: u32, destination: u32): bool {
  const mode: u32 = (command >> 8) & 7;
  if (mode < (DeliveryMode.Nmi as u32)) return false;
  if (mode == DeliveryMode.Nmi && processors.count == 1) return false;
  const shorthand = (command >> 18) & 3;
  // Not valid with these modes (AMD APM 2, table 16-4): nothing is sent.
  if (shorthand == Shorthand.Self || shorthand == Shorthand.AllIncludingSelf) return true;
  // The end of INIT's level means nothing to processors with a local APIC of this kind (Intel SDM 3, 10.6.1).
  if (mode == DeliveryMode.Init && command & Command.LevelTriggered && !(command & Command.Assert)) return true;
  const sender = processors.current();
  const logical = (command & Command.LogicalDestination) != 0;
  for (let i: u32 = 0; i < processors.count; i++) {
    const target = processors.at(i);
    const meant = shorthand == Shorthand.AllButSelf ? target !== sender : target.apic.answersTo(destination, logical);
    if (meant) signal(target, mode, command & 0xff);
  }
  return true;
}

function signal(target: Vcpu, mode: u32, vector: u32): void {
  if (mode == DeliveryMode.Init) target.signals.sendInit();
  else if (mode == DeliveryMode.Nmi) target.signals.sendNmi();
  else if (mode != DeliveryMode.Startup || !target.signals.sendStartup(vector)) return;
  if (target !== processors.current()) target.kick();
}
