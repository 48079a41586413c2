import { physOf, physRead64, physWrite16, physWrite32, physWrite64 } from "../../../metal";
import { Frame, FrameReceiver, NetworkCard } from "../card";
import { netCounters } from "../counters";
import { SegmentList } from "../segments";
import { ReceiveFilter } from "./filter";
import { HeldChains } from "./held";
import { HeaderFlag, NetHeader } from "./layout";
import { NO_PIECES, QUEUE_SIZE, Taken, Virtqueue } from "./queue";

/** With fewer chains than this at the card, the guest is asked to say when it has more. */
const FEW: u32 = QUEUE_SIZE / 4;
const NOT_LENT: u64 = ~(0 as u64);

/** The virtio_net_hdr put before a copied frame; all but its flags and its number of buffers stay 0. */
const header: usize = memory.data(16, 8);

/** How frames come into the guest's buffers. */
const enum Way {
  /** The guest has offered no buffer yet. */
  Open,
  /** The card writes them there: chains are lent to it, each in the name of its head. */
  Lent,
  /** By copies, since a buffer of the guest's was not such that the card could have it. */
  Copied,
}

/** Queue 0: frames from the card go into the buffers that the guest offers. */
export class ReceiveQueue extends FrameReceiver {
  readonly queue: Virtqueue = new Virtqueue();
  readonly filter: ReceiveFilter = new ReceiveFilter();
  /** Whether frames may be handed to the guest at all. */
  running: bool = false;
  /** Whether the guest takes DATA_VALID (GUEST_CSUM). */
  tellChecksums: bool = false;
  /** Whether a frame may be spread over several chains (MRG_RXBUF). */
  mergeable: bool = false;
  headerSize: u32 = NetHeader.LegacySize;
  /** Bytes received by the last `service`. */
  bytes: u64 = 0;
  private way: Way = Way.Open;
  /** Whether the guest has no buffer for the frame that came last. */
  private starved: bool = false;
  private readonly buffer: SegmentList = new SegmentList();
  /** Chains that were taken and are not at the card: they come before those in the queue. */
  private readonly held: HeldChains = new HeldChains();
  /** Where the header of each chain at the card goes, and its frame, by its head; and how many chains are there. */
  private readonly headers: StaticArray<u64> = new StaticArray<u64>(QUEUE_SIZE).fill(NOT_LENT);
  private readonly frames: StaticArray<u64> = new StaticArray<u64>(QUEUE_SIZE);
  private lent: u32 = 0;
  /** The chains that a frame is copied to. */
  private readonly heads: StaticArray<u32> = new StaticArray<u32>(QUEUE_SIZE);

  constructor(private readonly card: NetworkCard) {
    super();
  }

  /** Hands on what the card has; returns whether the card should interrupt for more. */
  service(): bool {
    this.bytes = 0;
    if (!this.running || !this.queue.ready) return false;
    if (this.way == Way.Open && !this.decide()) return false;
    this.starved = false;
    this.card.poll(this);
    if (this.way == Way.Lent) this.lend();
    if (this.way == Way.Lent) return this.lent != 0;
    // A card whose frames nobody takes would interrupt for ever. The guest was asked to say when it has buffers again.
    if (this.starved) return false;
    this.queue.wantNotify(false);
    return true;
  }

  /** Takes all chains back from the card and looks at them anew when they are needed: what they name may change. */
  recall(): void {
    if (this.way != Way.Lent) return;
    this.card.borrow(false);
    for (let head: u32 = 0; head < QUEUE_SIZE; head++) {
      if (unchecked(this.headers[head]) != NOT_LENT) this.takeBack(head);
    }
    this.way = Way.Open;
  }

  /** Forgets all chains: the queue goes. */
  forget(): void {
    this.recall();
    this.held.clear();
    this.way = Way.Open;
  }

  receive(frame: Frame): bool {
    if (!this.filter.accepts(frame)) return true;
    const length = frame.length as u32;
    if (!this.copy(frame, this.flags(frame.checksumGood))) return !this.starved;
    this.count(length);
    return true;
  }

  filled(token: u32, length: u32, checksumGood: bool): void {
    if (!this.filter.acceptsStart(physRead64(unchecked(this.frames[token])))) return this.takeBack(token);
    this.complete(token, length, this.flags(checksumGood));
    this.count(length);
  }

  unused(token: u32): void {
    this.takeBack(token);
  }

  @inline private flags(checksumGood: bool): u32 {
    return this.tellChecksums && checksumGood ? HeaderFlag.DATA_VALID : 0;
  }
  @inline private count(length: u32): void {
    this.bytes += length as u64;
    netCounters.receivedFrames++;
    netCounters.receivedBytes += length as u64;
  }

  /** Chooses the way by the first buffer that the guest offers; false while there is none. */
  private decide(): bool {
    if (this.next() != Taken.Chain) return false;
    const lent = this.card.lendSize() != 0 && this.suits();
    this.held.push(this.queue.head);
    if (!lent) {
      this.way = Way.Copied;
      return true;
    }
    this.starved = false;
    this.card.poll(this); // what the card has in its own memory would be lost
    if (this.starved || !this.queue.ready) return false;
    this.card.borrow(true);
    this.way = Way.Lent;
    return true;
  }

  /** Takes a chain to `buffer`; asks the guest to say when it has more if it has none. */
  private next(): Taken {
    if (this.held.count) {
      const head = this.held.shift();
      this.queue.head = head;
      if (this.queue.follow(head, NO_PIECES, this.buffer)) return Taken.Chain;
      this.queue.fail();
      return Taken.Broken;
    }
    const taken = this.queue.take(NO_PIECES, this.buffer);
    if (taken != Taken.Empty || !this.queue.wantNotify(true)) return taken;
    return this.queue.take(NO_PIECES, this.buffer);
  }

  // ---- Chains at the card ----

  /** Whether the header has a piece, and the card one for the frame after it. */
  private suits(): bool {
    const buffer = this.buffer;
    const size = this.headerSize;
    if (buffer.count == 0 || buffer.lengthOf(0) < size) return false;
    if (buffer.lengthOf(0) > size) return this.fits(buffer.address(0) + (size as u64), buffer.lengthOf(0) - size);
    return buffer.count > 1 && this.fits(buffer.address(1), buffer.lengthOf(1));
  }
  private fits(address: u64, length: u32): bool {
    return length >= this.card.lendSize() && this.queue.guestOwns(address, this.card.lendReach() as u64);
  }

  /** Lends the card all the chains that it can have. */
  private lend(): void {
    const least = this.headerSize + this.card.lendSize();
    const reach = this.headerSize + this.card.lendReach();
    for (let room = this.card.lendable(); room; room--) {
      if (this.held.count == 0 && this.queue.takePiece(least, reach)) {
        if (!this.lendPiece()) break;
        continue;
      }
      if (this.held.count == 0 && this.lent >= FEW && !this.queue.waiting()) break;
      if (this.next() != Taken.Chain) break;
      if (!this.lendChain()) break;
    }
    if (this.lent >= FEW) this.queue.wantNotify(false);
    this.card.flush();
  }

  /** False if the card has no chains any more. */
  private lendChain(): bool {
    const head = this.queue.head;
    if (unchecked(this.headers[head]) != NOT_LENT) {
      this.queue.fail(); // it is there already
      return false;
    }
    if (!this.suits()) {
      this.recall();
      this.held.push(head);
      this.way = Way.Copied;
      return false;
    }
    const header = this.buffer.address(0);
    this.buffer.drop(this.headerSize);
    this.hand(head, header, this.buffer.address(0));
    return true;
  }

  /** The same for one piece that was taken just now and that the card can have. */
  private lendPiece(): bool {
    const queue = this.queue;
    const head = queue.head;
    if (unchecked(this.headers[head]) != NOT_LENT) {
      queue.fail(); // it is there already
      return false;
    }
    this.hand(head, queue.address, queue.address + (this.headerSize as u64));
    return true;
  }

  @inline private hand(head: u32, header: u64, frame: u64): void {
    unchecked((this.headers[head] = header));
    unchecked((this.frames[head] = frame));
    this.lent++;
    this.card.lend(frame, head);
  }

  private takeBack(head: u32): void {
    unchecked((this.headers[head] = NOT_LENT));
    this.lent--;
    this.held.push(head);
  }

  /** The card has put a frame into a chain: the header before it is still missing. */
  private complete(head: u32, length: u32, flags: u32): void {
    const at = unchecked(this.headers[head]);
    unchecked((this.headers[head] = NOT_LENT));
    this.lent--;
    physWrite64(at, flags as u64);
    if (this.headerSize == NetHeader.Size) physWrite32(at + 8, 1 << 16);
    else physWrite16(at + 8, 0);
    this.queue.finish(head, this.headerSize + length);
  }

  // ---- Copies ----

  /** Copies a frame; false if it did not come to that: it waits if `starved`, else it is dropped. */
  private copy(frame: Frame, flags: u32): bool {
    const total = this.headerSize + (frame.length as u32);
    let room: u64 = 0;
    let count: u32 = 0;
    do {
      if (this.next() != Taken.Chain) {
        this.starved = true;
        return this.hold(count);
      }
      unchecked((this.heads[count++] = this.queue.head));
      room += this.buffer.length;
    } while (room < (total as u64) && this.mergeable && count < QUEUE_SIZE);
    if (room < (total as u64)) {
      netCounters.receiveDrops++;
      return this.hold(count);
    }
    store<u8>(header, flags as u8, NetHeader.Flags);
    store<u16>(header, count as u16, NetHeader.Buffers);
    return this.spread(frame, count);
  }

  /** Keeps the first chains of `heads` for another frame. */
  private hold(count: u32): bool {
    for (let i: u32 = 0; i < count; i++) this.held.push(unchecked(this.heads[i]));
    return false;
  }

  /** Fills the header and a frame into the first chains of `heads`, the last of which was taken just now. */
  private spread(frame: Frame, count: u32): bool {
    for (let i: u32 = 0; i < count; i++) {
      const head = unchecked(this.heads[i]);
      const sound = count == 1 || this.queue.follow(head, NO_PIECES, this.buffer);
      const first: u32 = i == 0 ? this.headerSize : 0;
      if (!sound || this.buffer.length < (first as u64)) {
        this.queue.fail();
        return false;
      }
      this.buffer.fill(physOf(header), first);
      const bytes = min(this.buffer.length, frame.length) as u32;
      this.buffer.move(frame, bytes);
      this.queue.finish(head, first + bytes);
    }
    return true;
  }
}
