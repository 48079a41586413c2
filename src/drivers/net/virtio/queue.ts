import { guestMemory } from "../../../memory/guest";
import { guestSpace } from "../../../memory/space";
import { fence, physRead16, physRead64, physWrite16, physWrite32 } from "../../../metal";
import { SegmentList } from "../segments";
import { complain } from "./complain";

// A virtqueue (virtio 0.9.5, 2.3) of 256 descriptors in the guest's memory:
//    0x0000  descriptors     256 of { address u64, length u32, flags u16, next u16 }
//    0x1000  available ring  flags u16, index u16, 256 heads u16, used_event u16
//    0x2000  used ring       flags u16, index u16, 256 of { head u32, written u32 }, avail_event u16
// The guest may write any of it at any time: each field is read once, and checked after that.
export const QUEUE_SIZE: u32 = 256;
const AVAILABLE: u64 = 0x1000;
const USED_EVENT: u64 = AVAILABLE + 4 + 2 * (QUEUE_SIZE as u64);
const USED: u64 = 0x2000;
const AVAIL_EVENT: u64 = USED + 4 + 8 * (QUEUE_SIZE as u64);
const QUEUE_BYTES: u64 = AVAIL_EVENT + 2;

const enum DescriptorFlag {
  NEXT = 1,
  WRITE = 2,
  INDIRECT = 4,
}
const NO_INTERRUPT: u32 = 1;
const NO_NOTIFY: u32 = 1;
/** An event index that the guest does not reach before it is moved on. */
const FAR: u32 = 0x8000;

export const enum Taken {
  Chain,
  Empty,
  /** The guest broke the rules: the queue stands still until it is placed anew. */
  Broken,
}

/** The device's side of one virtqueue. */
export class Virtqueue {
  /** Guest-physical place of the queue; 0 while there is none. */
  private base: u64 = 0;
  private broken: bool = false;
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

  /** Whether chains can be taken. */
  get ready(): bool {
    return this.base != 0 && !this.broken;
  }

  /** Starts afresh at a place; where the guest may not have a queue there is none. */
  place(base: u64, eventIndex: bool, indirect: bool): void {
    this.remove();
    if (guestOwns(base, QUEUE_BYTES)) this.base = base;
    else complain("placed a queue where it has no memory");
    this.eventIndex = eventIndex;
    this.indirect = indirect;
  }
  remove(): void {
    this.base = 0;
    this.broken = false;
    this.notifying = true;
    this.available = this.used = this.published = this.signalled = 0;
  }

  /** Whether the guest has made chains available that are not taken. */
  waiting(): bool {
    return this.ready && physRead16(this.base + AVAILABLE + 2) != this.available;
  }

  /** Takes the next chain: its pieces, all written by the device if `writable`, else all read, and its head. */
  take(pieces: SegmentList, writable: bool): Taken {
    if (!this.ready) return Taken.Empty;
    const offered = (physRead16(this.base + AVAILABLE + 2) - this.available) & 0xffff;
    if (offered == 0) return Taken.Empty;
    const slot = (this.available % QUEUE_SIZE) << 1;
    this.head = physRead16(this.base + AVAILABLE + 4 + (slot as u64));
    pieces.clear();
    if (offered > QUEUE_SIZE || !this.follow(pieces, writable)) {
      this.broken = true;
      complain("broke the rules of a queue");
      return Taken.Broken;
    }
    this.available = (this.available + 1) & 0xffff;
    return Taken.Chain;
  }

  /** Leaves the chain taken last for another time. */
  putBack(): void {
    this.available = (this.available - 1) & 0xffff;
  }

  /** Gives a chain back with `written` bytes in it; the guest sees it once it is published. */
  finish(head: u32, written: u32): void {
    const entry = this.base + USED + 4 + (((this.used % QUEUE_SIZE) << 3) as u64);
    physWrite32(entry, head);
    physWrite32(entry + 4, written);
    this.used = (this.used + 1) & 0xffff;
  }

  /** Shows the guest the chains that were finished; returns whether there were any. */
  publish(): bool {
    if (this.used == this.published || !this.ready) return false;
    this.published = this.used;
    physWrite16(this.base + USED + 2, this.used);
    return true;
  }

  /** Whether the guest wants an interrupt for what was published since the last one (2.4.2). */
  wantsInterrupt(): bool {
    if (this.published == this.signalled || !this.ready) return false;
    fence(); // the index must be seen before the guest's wish is read
    const wanted = this.eventIndex ? this.passedEvent() : (physRead16(this.base + AVAILABLE) & NO_INTERRUPT) == 0;
    if (!wanted) this.signalled = this.published;
    return wanted;
  }
  /** The guest is being interrupted for all that is published. */
  signal(): void {
    this.signalled = this.published;
  }
  /** The index at which the guest wants to be interrupted: a new one shows that it has looked at the queue. */
  usedEvent(): u32 {
    return this.ready && this.eventIndex ? physRead16(this.base + USED_EVENT) : 0;
  }
  private passedEvent(): bool {
    const event = physRead16(this.base + USED_EVENT);
    return ((this.published - event - 1) & 0xffff) < ((this.published - this.signalled) & 0xffff);
  }

  /** Says whether the guest should notify when it makes more available; returns whether there is more already. */
  wantNotify(wanted: bool): bool {
    if (!this.ready || !(wanted || this.notifying)) return false;
    this.notifying = wanted;
    if (this.eventIndex) physWrite16(this.base + AVAIL_EVENT, (this.available + (wanted ? 0 : FAR)) & 0xffff);
    else physWrite16(this.base + USED, wanted ? 0 : NO_NOTIFY);
    fence(); // the wish must be seen before the index is read again
    return this.waiting();
  }

  /** Follows the chain at `head`; false if it is not one that the guest may offer. Never longer than the queue. */
  private follow(pieces: SegmentList, writable: bool): bool {
    let table = this.base;
    let entries = QUEUE_SIZE;
    let index = this.head;
    for (let steps: u32 = 0; steps <= QUEUE_SIZE; steps++) {
      if (index >= entries) return false;
      const address = physRead64(table + ((index << 4) as u64));
      const rest = physRead64(table + ((index << 4) as u64) + 8);
      const length = rest as u32;
      const flags = ((rest >> 32) as u32) & 0xffff;
      if (length && !guestOwns(address, length as u64)) return false;
      if (flags & DescriptorFlag.INDIRECT) {
        if (!this.indirect || table != this.base || flags & DescriptorFlag.NEXT || length & 15) return false;
        table = address;
        entries = length >> 4;
        index = 0;
        continue;
      }
      if (((flags & DescriptorFlag.WRITE) != 0) != writable) return false;
      if (length) pieces.add(address, length);
      if (!(flags & DescriptorFlag.NEXT)) return true;
      index = (rest >> 48) as u32;
    }
    return false;
  }
}

/** Whether bytes are the guest's own: not Sheer's, and not registers that Sheer keeps from it, the card's among them. */
function guestOwns(address: u64, length: u64): bool {
  return guestMemory.permits(address, length) && !guestSpace.hooks.touches(address, length);
}
