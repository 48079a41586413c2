import { TicketLock } from "../threads/lock";
import { processors } from "../vcpu/processors";

/** Sheer's own interrupt sources: called on the processor that took the vector, with the guest stopped. */
export abstract class InterruptHandler {
  /** `lock` is held while the handler works. */
  constructor(readonly lock: TicketLock) {}
  abstract interrupt(): void;
  /** A task priority of the guest's keeps its private vector back from now on. */
  abstract heldBack(): void;
}

/** Vectors 0x10 to 0x1F: never given to external interrupts by an operating system, so a vector alone identifies Sheer's. */
export const FIRST_PRIVATE_VECTOR: u32 = 0x10;
const COUNT: u32 = 16;

/** Messages of the guest's that Sheer's devices may send themselves: as many as can be on their way while they change. */
const CLAIMS: u32 = 4;

/** Which handler each private vector calls. */
export class PrivateVectors {
  private readonly handlers: StaticArray<InterruptHandler | null> = new StaticArray<InterruptHandler | null>(COUNT);

  /** Vectors of the guest's by which a device of Sheer's interrupts, the newest at `newest`. */
  private readonly claims: StaticArray<u32> = new StaticArray<u32>(CLAIMS);
  private readonly claimers: StaticArray<InterruptHandler | null> = new StaticArray<InterruptHandler | null>(CLAIMS);
  private newest: u32 = 0;

  /**
   * To be called before a device sends one of the guest's own vectors, to whatever processor: an interrupt with it calls
   * the handler and then goes on to the guest. So it does no harm that the vector is someone else's on other processors.
   */
  claim(vector: u32, handler: InterruptHandler): void {
    if (unchecked(this.claims[this.newest]) == vector) return;
    this.newest = (this.newest + 1) % CLAIMS;
    unchecked((this.claims[this.newest] = vector));
    unchecked((this.claimers[this.newest] = handler));
    interceptOn(processors.count);
  }

  /** The device that has claimed one of the guest's vectors. */
  claimer(vector: u32): InterruptHandler | null {
    for (let i: u32 = 0; i < CLAIMS; i++) if (unchecked(this.claims[i]) == vector) return unchecked(this.claimers[i]);
    return null;
  }

  /** On the boot processor, whose task priority keeps private vectors back. */
  heldBack(): void {
    for (let i: u32 = 0; i < COUNT; i++) {
      const handler = unchecked(this.handlers[i]);
      if (handler === null) continue;
      handler.lock.acquire();
      handler.heldBack();
      handler.lock.release();
    }
  }

  /**
   * To be called before a device may send a private vector to the boot processor. Until the first, interrupts go to the
   * guest without an exit; from then on each costs one for good, since a vector that is still on its way must never
   * reach the guest.
   */
  expect(): void {
    interceptOn(1);
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

/** Has external interrupts end the guest's run on the first `count` processors, the boot processor being the first. */
function interceptOn(count: u32): void {
  let missing = false;
  for (let i: u32 = 0; i < count; i++) {
    const vcpu = processors.at(i);
    if (!vcpu.takesPrivateVectors) missing = vcpu.takesPrivateVectors = true;
  }
  if (missing) processors.synchronise();
}

export const privateVectors = new PrivateVectors();
