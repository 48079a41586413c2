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
  /** Whether the last interrupt was for bulk. */
  private bulk: bool = false;

  constructor(private readonly card: NetworkCard) {
    card.moderate(SHORTEST);
  }

  /** Whether so many bytes for an interrupt are bulk, of which no single frame is waited for. */
  isBulk(bytes: u64): bool {
    return bytes >= ENOUGH_BYTES;
  }

  /** The card has interrupted, and `bytes` have been moved since it did before. */
  note(bytes: u64): void {
    const level = this.next(bytes);
    if (level == this.level) return;
    this.level = level;
    this.card.moderate(SHORTEST << level);
  }

  private next(bytes: u64): u32 {
    const bulk = this.bulk;
    this.bulk = this.isBulk(bytes);
    // In the midst of bulk an interrupt that finds nothing came too early.
    if (bytes == 0) return bulk ? min(this.level + 1, HIGHEST_LEVEL) : this.level;
    if (bytes < FEW_BYTES) return this.level ? this.level - 1 : 0;
    if (bytes < ENOUGH_BYTES) return min(this.level + 1, HIGHEST_LEVEL);
    return bytes > MANY_BYTES && this.level ? this.level - 1 : this.level;
  }
}
