import { guestMemory } from "../../../memory/guest";
import { HookGap } from "../../../memory/hooks";
import { guestSpace } from "../../../memory/space";
import { fence, physRead16, physRead64, physWrite16, physWrite32 } from "../../../metal";
import { SegmentList } from "../segments";
import { complain } from "./complain";

// A split virtqueue (virtio 0.9.5, 2.3; 1.2: 2.7) of `size` descriptors in the guest's memory:
//    descriptors     size of { address u64, length u32, flags u16, next u16 }
//    available ring  flags u16, index u16, size heads u16, used_event u16
//    used ring       flags u16, index u16, size of { head u32, written u32 }, avail_event u16
// The guest may write any of it at any time: each field is read once, and checked after that.

/** Size of each queue, unless a driver of the newer interface makes it smaller. */
export const QUEUE_SIZE: u32 = 256;
/** Where the legacy interface has the rings: the used ring on a page of its own (2.3). */
const LEGACY_AVAILABLE: u64 = 0x1000;
const LEGACY_USED: u64 = 0x2000;
const RING_INDEX: u64 = 2;
const RING_ENTRIES: u64 = 4;

const enum DescriptorFlag {
  NEXT = 1,
  WRITE = 2,
  INDIRECT = 4,
}
const NO_INTERRUPT: u32 = 1;
const NO_NOTIFY: u32 = 1;
/** An event index that the guest does not reach before it is moved on. */
const FAR: u32 = 0x8000;

/** What a queue passes that must have none of one kind of pieces. */
export const NO_PIECES = new SegmentList();

export const enum Taken {
  Chain,
  Empty,
  /** The guest broke the rules: the queue stands still until it is placed anew. */
  Broken,
}

/** The device's side of one virtqueue. */
export class Virtqueue {
  /** Places and size as the guest has written them; they count once the queue is enabled. */
  size: u32 = QUEUE_SIZE;
  descriptors: u64 = 0;
  driver: u64 = 0;
  device: u64 = 0;
  /** Whether the guest has enabled it. */
  enabled: bool = false;
  /** Whether it lies where the guest may have it. */
  private placed: bool = false;
  broken: bool = false;
  private eventIndex: bool = false;
  private indirect: bool = false;
  /** Whether the guest may be notifying. */
  private notifying: bool = true;
  /** Next available entry to take; next used entry to write; the used index that the guest sees, and was called for. */
  private available: u32 = 0;
  private used: u32 = 0;
  private published: u32 = 0;
  private signalled: u32 = 0;
  /** Head of the chain taken last. */
  head: u32 = 0;
  /** Where the piece lies that `takePiece` took. */
  address: u64 = 0;
  /** Where the guest's buffers were found to be free of hooks. */
  private readonly gap: HookGap = new HookGap(guestSpace.hooks);

  /** Whether chains can be taken. */
  get ready(): bool {
    return this.placed && !this.broken;
  }

  /** Makes it smaller; a size that is no power of two, or more than there is, changes nothing. */
  resize(size: u32): void {
    if (size && size <= QUEUE_SIZE && !(size & (size - 1))) this.size = size;
  }

  /** Places the queue as the legacy interface has it, and enables it. */
  placeAt(base: u64, eventIndex: bool, indirect: bool): void {
    this.size = QUEUE_SIZE;
    this.descriptors = base;
    this.driver = base + LEGACY_AVAILABLE;
    this.device = base + LEGACY_USED;
    this.enable(eventIndex, indirect);
  }

  /** Starts afresh where the guest has placed it; where the guest may not have a queue there is none. */
  enable(eventIndex: bool, indirect: bool): void {
    this.disable();
    this.enabled = true;
    const size = this.size as u64;
    this.placed =
      this.guestOwns(this.descriptors, size << 4) &&
      this.guestOwns(this.driver, (size << 1) + RING_ENTRIES + 2) &&
      this.guestOwns(this.device, (size << 3) + RING_ENTRIES + 2);
    if (!this.placed) complain("placed a queue where it has no memory");
    this.eventIndex = eventIndex;
    this.indirect = indirect;
  }

  disable(): void {
    this.enabled = this.placed = this.broken = false;
    this.notifying = true;
    this.available = this.used = this.published = this.signalled = 0;
  }

  /** As after a reset of the device. */
  reset(): void {
    this.disable();
    this.size = QUEUE_SIZE;
    this.descriptors = this.driver = this.device = 0;
  }

  /** Whether the guest has made chains available that are not taken. */
  waiting(): bool {
    return this.ready && physRead16(this.driver + RING_INDEX) != this.available;
  }

  /**
   * Takes the next chain: the pieces that the device reads, then those that it writes. Where NO_PIECES is passed, a piece
   * of that kind breaks the rules.
   */
  take(reads: SegmentList, writes: SegmentList): Taken {
    if (!this.ready) return Taken.Empty;
    const offered = (physRead16(this.driver + RING_INDEX) - this.available) & 0xffff;
    if (offered == 0) return Taken.Empty;
    const slot = (this.available & (this.size - 1)) << 1;
    this.head = physRead16(this.driver + RING_ENTRIES + (slot as u64));
    if (offered > this.size || !this.follow(this.head, reads, writes)) {
      this.fail();
      return Taken.Broken;
    }
    this.available = (this.available + 1) & 0xffff;
    return Taken.Chain;
  }

  /**
   * Takes the next chain if it is one piece of at least `least` bytes that the device writes, as most drivers offer them for
   * frames, and `reach` bytes from its start on are the guest's; else none.
   */
  takePiece(least: u32, reach: u32): bool {
    if (!this.ready) return false;
    const offered = (physRead16(this.driver + RING_INDEX) - this.available) & 0xffff;
    if (offered == 0 || offered > this.size) return false;
    const slot = (this.available & (this.size - 1)) << 1;
    const head = physRead16(this.driver + RING_ENTRIES + (slot as u64));
    if (head >= this.size) return false;
    const descriptor = this.descriptors + ((head << 4) as u64);
    const address = physRead64(descriptor);
    const rest = physRead64(descriptor + 8);
    const flags = ((rest >> 32) as u32) & (DescriptorFlag.NEXT | DescriptorFlag.WRITE | DescriptorFlag.INDIRECT);
    if (flags != DescriptorFlag.WRITE || (rest as u32) < least || !this.guestOwns(address, reach as u64)) return false;
    this.head = head;
    this.address = address;
    this.available = (this.available + 1) & 0xffff;
    return true;
  }

  /** Leaves the chain taken last for another time. */
  putBack(): void {
    this.available = (this.available - 1) & 0xffff;
  }

  /** The guest broke the rules. */
  fail(): void {
    this.broken = true;
    complain("broke the rules of a queue");
  }

  /** Gives a chain back with `written` bytes in it; the guest sees it once it is published. */
  finish(head: u32, written: u32): void {
    const entry = this.device + RING_ENTRIES + (((this.used & (this.size - 1)) << 3) as u64);
    physWrite32(entry, head);
    physWrite32(entry + 4, written);
    this.used = (this.used + 1) & 0xffff;
  }

  /** Shows the guest the chains that were finished; returns whether there were any. */
  publish(): bool {
    if (this.used == this.published || !this.ready) return false;
    this.published = this.used;
    physWrite16(this.device + RING_INDEX, this.used);
    return true;
  }

  /** Whether the guest wants an interrupt for what was published since the last one (2.4.2). */
  wantsInterrupt(): bool {
    if (this.published == this.signalled || !this.ready) return false;
    fence(); // the index must be seen before the guest's wish is read
    const wanted = this.eventIndex ? this.passedEvent() : (physRead16(this.driver) & NO_INTERRUPT) == 0;
    if (!wanted) this.signalled = this.published;
    return wanted;
  }
  /** The guest is being interrupted for all that is published. */
  signal(): void {
    this.signalled = this.published;
  }
  /** The index at which the guest wants to be interrupted: a new one shows that it has looked at the queue. */
  usedEvent(): u32 {
    return this.ready && this.eventIndex ? physRead16(this.usedEventAt) : 0;
  }
  private passedEvent(): bool {
    const event = physRead16(this.usedEventAt);
    return ((this.published - event - 1) & 0xffff) < ((this.published - this.signalled) & 0xffff);
  }
  private get usedEventAt(): u64 {
    return this.driver + RING_ENTRIES + ((this.size << 1) as u64);
  }

  /** Says whether the guest should notify when it makes more available; returns whether there is more already. */
  wantNotify(wanted: bool): bool {
    if (!this.ready || !(wanted || this.notifying)) return false;
    this.notifying = wanted;
    const event = this.device + RING_ENTRIES + ((this.size << 3) as u64);
    if (this.eventIndex) physWrite16(event, (this.available + (wanted ? 0 : FAR)) & 0xffff);
    else physWrite16(this.device, wanted ? 0 : NO_NOTIFY);
    fence(); // the wish must be seen before the index is read again
    return this.waiting();
  }

  /** Lets the guest make `frames` available before it notifies; false if it cannot be told so, or is not to notify now. */
  notifyAfter(frames: u32): bool {
    if (!this.ready || !this.eventIndex || !this.notifying) return false;
    physWrite16(this.device + RING_ENTRIES + ((this.size << 3) as u64), (this.available + frames - 1) & 0xffff);
    return true;
  }

  /** Follows the chain at `head`; false if it is not one that the guest may offer. Never longer than the queue. */
  follow(head: u32, reads: SegmentList, writes: SegmentList): bool {
    reads.clear();
    writes.clear();
    let table = this.descriptors;
    let entries = this.size;
    let index = head;
    let inside = false;
    for (let steps: u32 = 0; steps <= this.size; steps++) {
      if (index >= entries) return false;
      const address = physRead64(table + ((index << 4) as u64));
      const rest = physRead64(table + ((index << 4) as u64) + 8);
      const length = rest as u32;
      const flags = ((rest >> 32) as u32) & 0xffff;
      if (length && !this.guestOwns(address, length as u64)) return false;
      if (flags & DescriptorFlag.INDIRECT) {
        if (!this.indirect || inside || flags & DescriptorFlag.NEXT || length & 15) return false;
        inside = true;
        table = address;
        entries = length >> 4;
        index = 0;
        continue;
      }
      const pieces = flags & DescriptorFlag.WRITE ? writes : reads;
      // What the device reads comes before what it writes (1.2: 2.7.4.2).
      if (pieces === NO_PIECES || (pieces === reads && writes.count)) return false;
      if (length) pieces.add(address, length);
      if (!(flags & DescriptorFlag.NEXT)) return true;
      index = (rest >> 48) as u32;
    }
    return false;
  }

  /** Whether bytes are the guest's own: not Sheer's, and not registers that Sheer keeps from it, the card's among them. */
  @inline guestOwns(address: u64, length: u64): bool {
    return guestMemory.permits(address, length) && this.gap.has(address, length);
  }
}
