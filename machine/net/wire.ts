/** The cable at a network card: a test puts frames on it for the card and sees those the card sent, both without FCS. */
export class Wire {
  /** Frames that the card sent and nobody took yet. */
  readonly sent: Uint8Array[] = [];
  /** Called for each frame the card sends, instead of keeping it. */
  onSend: ((frame: Uint8Array) => void) | undefined;
  /** The card's end: true if the card took the frame. */
  toCard: (frame: Uint8Array) => boolean = () => false;

  /** Sends a frame to the card, padded to the shortest that Ethernet carries; false if the card dropped it. */
  inject(frame: ArrayLike<number>): boolean {
    const padded = new Uint8Array(Math.max(frame.length, MINIMUM));
    padded.set(Uint8Array.from(frame));
    return this.toCard(padded);
  }

  /** Sends a frame of any length. */
  injectRaw(frame: ArrayLike<number>): boolean {
    return this.toCard(Uint8Array.from(frame));
  }

  /** The frames sent since the last call. */
  take(): Uint8Array[] {
    return this.sent.splice(0);
  }

  fromCard(frame: Uint8Array): void {
    if (this.onSend) this.onSend(frame);
    else this.sent.push(frame);
  }
}

/** Bytes without the frame check sequence (IEEE 802.3, 3.2.8). */
export const MINIMUM = 60;
