import { NetworkCard } from "./card";

/** The least time between two interrupts, in microseconds, is SHORTEST shifted left by the level. */
const SHORTEST: u32 = 25;
const HIGHEST_LEVEL: u32 = 4;
/** Less than that for an interrupt is a guest that waits for answers, not for bytes. */
const FEW_BYTES: u64 = 2000;
/** An interrupt should serve so much at least, and not much more: what waits fills the guest's queues. */
const ENOUGH_BYTES: u64 = 48 << 10;
const MANY_BYTES: u64 = 128 << 10;

/**
 * How often the card may interrupt: seldom while bytes come and go in bulk, since an interrupt costs exits, and at once
 * while there are few, since somebody waits for each.
 */
export class Moderation {
  private level: u32 = 0;

  constructor(private readonly card: NetworkCard) {
    card.moderate(SHORTEST);
  }

  /** The card has interrupted, and `bytes` have been moved since it did before. */
  note(bytes: u64): void {
    const level = this.next(bytes);
    if (level == this.level) return;
    this.level = level;
    this.card.moderate(SHORTEST << level);
  }

  private next(bytes: u64): u32 {
    // A step at a time: in the midst of bulk an interrupt may find nothing that was not served by the one before.
    if (bytes < FEW_BYTES) return this.level ? this.level - 1 : 0;
    if (bytes < ENOUGH_BYTES) return min(this.level + 1, HIGHEST_LEVEL);
    return bytes > MANY_BYTES && this.level ? this.level - 1 : this.level;
  }
}
