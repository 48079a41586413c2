import { physOf } from "../../../metal";
import { Frame, Handed, NetworkCard, NO_TOKEN, Offload } from "../card";
import { netCounters } from "../counters";
import { Feature, GsoType, HeaderFlag, NetHeader } from "./layout";
import { NO_PIECES, QUEUE_SIZE, Taken, Virtqueue } from "./queue";

/**
 * So many frames or bytes may be sent before the guest is called for them at once. A call costs the guest more than a
 * little patience, unless it waits for room: as TCP does when about a millisecond's worth of frames is on its way.
 */
const FRAMES_PER_CALL: u32 = 32;
const BYTES_PER_CALL: u64 = 128 << 10;
/** So many frames the guest may gather before it notifies, when the card's interrupt is sure to come. */
const FRAMES_PER_NOTIFY: u32 = 8;
/** A card that returns none of so many frames may have been reset. */
const FRAMES_IN_DOUBT: u32 = 64;

/** The virtio_net_hdr of the frame at hand, copied out of the guest's memory. */
const header: usize = memory.data(16, 8);

/** Queue 1: frames that the guest offers go to the card, straight from where they lie. */
export class TransmitQueue {
  readonly queue: Virtqueue = new Virtqueue();
  running: bool = false;
  /** Features that the guest has accepted. */
  features: u32 = 0;
  headerSize: u32 = NetHeader.LegacySize;
  /** Bytes handed to the card by the last `service`. */
  handed: u64 = 0;
  private readonly frame: Frame = new Frame();
  /** Frames handed to the card since it last returned one. */
  private unanswered: u32 = 0;
  /** What was handed to the card since the guest was last called. */
  private frames: u32 = 0;
  private bytes: u64 = 0;

  constructor(private readonly card: NetworkCard) {}

  /** Gives the guest back what was sent and the card what the guest offers; returns whether the card should interrupt. */
  service(): bool {
    this.handed = 0;
    if (!this.running || !this.queue.ready) return false;
    this.reclaim();
    // While the card is full the guest need not notify: the card's interrupt comes first.
    if (!this.drain()) this.queue.wantNotify(false);
    this.card.flush();
    this.reclaim();
    return this.card.sending();
  }

  /** Lets the guest gather a few frames; false if it notifies for the next one, or not at all. */
  postpone(): bool {
    return this.running && this.queue.notifyAfter(FRAMES_PER_NOTIFY);
  }

  /** Whether the card has returned nothing for so long that somebody should see what it is about; asks once each time. */
  isStuck(): bool {
    if (this.unanswered < FRAMES_IN_DOUBT) return false;
    this.unanswered = 0;
    return true;
  }

  /** The guest looks after its frames just now. */
  called(): void {
    this.frames = 0;
    this.bytes = 0;
  }

  /** Takes what the guest offers, until there is no more; false if the card became full before. */
  private drain(): bool {
    for (let left = QUEUE_SIZE; left; left--) {
      const taken = this.queue.take(this.frame, NO_PIECES);
      if (taken == Taken.Chain) {
        if (!this.handOn()) return false;
      } else if (taken == Taken.Broken || !this.queue.wantNotify(true)) {
        return true;
      }
    }
    // A guest on another processor could keep this one here for ever: come back by an interrupt.
    if (this.queue.wantNotify(true)) this.card.interrupt();
    return true;
  }

  /** Gives the frame at hand to the card; false if that has no room. */
  private handOn(): bool {
    const frame = this.frame;
    if (frame.length > (this.headerSize as u64) && this.readHeader()) {
      const bytes = frame.length;
      const prompt = this.frames + 1 >= FRAMES_PER_CALL || this.bytes + bytes >= BYTES_PER_CALL;
      const handed = this.card.send(frame, this.queue.head, prompt);
      if (handed == Handed.Taken) {
        if (prompt) this.called();
        else {
          this.frames++;
          this.bytes += bytes;
        }
        this.unanswered++;
        this.handed += bytes;
        netCounters.sentFrames++;
        netCounters.sentBytes += bytes;
        return true;
      }
      if (handed == Handed.NoRoom) {
        this.queue.putBack();
        return false;
      }
    }
    netCounters.sendDrops++;
    this.queue.finish(this.queue.head, 0);
    this.card.interrupt(); // for this frame the card has no interrupt of its own
    return true;
  }

  /** Takes the header off the frame and what it asks for into it; false if that is not what the guest may ask. */
  private readHeader(): bool {
    const frame = this.frame;
    frame.copyTo(physOf(header), this.headerSize);
    frame.drop(this.headerSize);
    frame.offloads = 0;
    if (this.features & Feature.CSUM && load<u8>(header, NetHeader.Flags) & HeaderFlag.NEEDS_CSUM) {
      frame.offloads = Offload.Checksum;
      frame.checksumStart = load<u16>(header, NetHeader.ChecksumStart);
      frame.checksumOffset = load<u16>(header, NetHeader.ChecksumOffset);
    }
    const gso = load<u8>(header, NetHeader.GsoType);
    if (gso == GsoType.NONE) return true;
    frame.segmentSize = load<u16>(header, NetHeader.GsoSize);
    if (gso == GsoType.TCPV4 && this.features & Feature.HOST_TSO4) frame.offloads |= Offload.Tcp4;
    else if (gso == GsoType.TCPV6 && this.features & Feature.HOST_TSO6) frame.offloads |= Offload.Tcp6;
    else return false;
    return (frame.offloads & Offload.Checksum) != 0;
  }

  /** Gives the guest back what the card will never send. */
  abandon(): void {
    for (let token = this.card.abandon(); token != NO_TOKEN; token = this.card.abandon()) this.queue.finish(token, 0);
  }

  private reclaim(): void {
    for (let token = this.card.reclaim(); token != NO_TOKEN; token = this.card.reclaim()) {
      this.queue.finish(token, 0);
      this.unanswered = 0;
    }
  }
}
