import { TicketLock } from "../threads/lock";
import { processors } from "../vcpu/processors";

/** Sheer's own interrupt sources: called on the processor that took the vector, with the guest stopped. */
export abstract class InterruptHandler {
  /** `lock` is held while the handler works. */
  constructor(readonly lock: TicketLock) {}
  abstract interrupt(): void;
}

/** Vectors 0x10 to 0x1F: never given to external interrupts by an operating system, so a vector alone identifies Sheer's. */
export const FIRST_PRIVATE_VECTOR: u32 = 0x10;
const COUNT: u32 = 16;

/** Which handler each private vector calls. */
export class PrivateVectors {
  private readonly handlers: StaticArray<InterruptHandler | null> = new StaticArray<InterruptHandler | null>(COUNT);

  /**
   * To be called before a device may send a private vector to the boot processor. Until the first, interrupts go to the guest without an
   * exit; from then on each costs one for good, since a vector that is still on its way must never reach the guest.
   */
  expect(): void {
    const vcpu = processors.at(0);
    if (vcpu.takesPrivateVectors) return;
    vcpu.takesPrivateVectors = true;
    processors.synchronise();
  }

  /** A free vector for `handler`, or 0 if all 16 are taken. */
  allocate(handler: InterruptHandler): u32 {
    for (let i: u32 = 0; i < COUNT; i++) {
      if (unchecked(this.handlers[i])) continue;
      unchecked((this.handlers[i] = handler));
      return FIRST_PRIVATE_VECTOR + i;
    }
    return 0;
  }

  find(vector: u32): InterruptHandler | null {
    const index = vector - FIRST_PRIVATE_VECTOR;
    return index < COUNT ? unchecked(this.handlers[index]) : null;
  }
}

export const privateVectors = new PrivateVectors();
