import { physOf } from "../../../metal";
import { Frame, FrameReceiver, NetworkCard } from "../card";
import { netCounters } from "../counters";
import { SegmentList } from "../segments";
import { HeaderFlag, NetHeader } from "./layout";
import { Taken, Virtqueue } from "./queue";

/** The virtio_net_hdr put before a received frame; all but its flags stay 0. */
const header: usize = memory.data(16, 8);

/** Queue 0: frames from the card go into the buffers that the guest offers. */
export class ReceiveQueue extends FrameReceiver {
  readonly queue: Virtqueue = new Virtqueue();
  /** Whether frames may be handed to the guest at all. */
  running: bool = false;
  /** Whether the guest takes DATA_VALID (GUEST_CSUM). */
  tellChecksums: bool = false;
  /** Whether the guest has no buffer for the frame that came last. */
  private starved: bool = false;
  private readonly buffer: SegmentList = new SegmentList();

  constructor(private readonly card: NetworkCard) {
    super();
  }

  /** Hands on what the card has; returns whether the card should interrupt for more. */
  service(): bool {
    if (!this.running || !this.queue.ready) return false;
    this.starved = false;
    this.card.poll(this);
    // A card whose frames nobody takes would interrupt for ever. The guest was asked to say when it has buffers again.
    if (this.starved) return false;
    this.queue.wantNotify(false);
    return true;
  }

  receive(frame: Frame): bool {
    let taken = this.queue.take(this.buffer, true);
    if (taken == Taken.Empty && this.queue.wantNotify(true)) taken = this.queue.take(this.buffer, true);
    if (taken != Taken.Chain) {
      this.starved = true;
      return false;
    }
    const length = frame.length as u32;
    if (this.buffer.length < ((NetHeader.Size + length) as u64)) {
      this.queue.putBack();
      netCounters.receiveDrops++;
      return true;
    }
    store<u8>(header, this.tellChecksums && frame.checksumGood ? HeaderFlag.DATA_VALID : 0, NetHeader.Flags);
    this.buffer.fill(physOf(header), NetHeader.Size);
    for (let i: u32 = 0, count = frame.count; i < count; i++) this.buffer.fill(frame.address(i), frame.lengthOf(i));
    this.queue.finish(this.queue.head, NetHeader.Size + length);
    netCounters.receivedFrames++;
    netCounters.receivedBytes += length as u64;
    return true;
  }
}
