import { devicePages } from "../../../memory/device-pages";
import { PAGE_SIZE } from "../../../memory/frames";
import { physOf, physRead32, physWrite32 } from "../../../metal";
import { Frame, FrameReceiver } from "../card";
import { netCounters } from "../counters";
import { Chip } from "./ids";
import { Register, Registers } from "./registers";
import { StatusBlock } from "./status";

// A receive buffer descriptor, in the standard ring for the card and in the return ring back from it (5722 guide, section 6):
//       31                    16 15                     0
//   0x00|        address of the buffer, 63:32           |
//   0x04|        address of the buffer, 31:0            |
//   0x08|         index         |        length         |
//   0x0c|         type          |         flags         |
//   0x10|    IPv4 checksum      | TCP or UDP checksum   |
//   0x14|        errors         |       VLAN tag        |
//   0x1c|                 the driver's own              |
const enum Word {
  AddressHigh = 0x00,
  AddressLow = 0x04,
  Length = 0x08,
  Flags = 0x0c,
  Checksums = 0x10,
  Errors = 0x14,
  Own = 0x1c,
}
const enum Flag {
  End = 1 << 2,
  Error = 1 << 10,
  TransportChecksum = 1 << 13,
}
/** Bits 31:16 of the errors: damaged, collision, link lost, PHY, aborted, too short, no room, too long; one is harmless. */
const ERRORS: u32 = 0xffff_0000;
const ODD_NIBBLE: u32 = 1 << 20;
const CHECKSUM_RIGHT: u32 = 0xffff;

export const RING_ENTRIES: u32 = 512;
const DESCRIPTOR_SIZE: u32 = 32;
const BUFFERS: u32 = 256;
const BUFFER_SIZE: u32 = 2048;
/** What the card is told of a buffer: a whole frame with VLAN tag and FCS. */
export const BUFFER_LENGTH: u32 = 1536;
const HEADER_LENGTH: u32 = 14;
const FCS: u32 = 4;
/** Most buffers that a BCM5755 takes by one write of the index; more is a defect of its. */
const OFFER_AT_MOST: u32 = 8;

/** The buffers that the card receives into, and the two rings on which they go to it and come back. */
export class ReceiveRing {
  readonly standardRing: u64 = physOf(devicePages.take((RING_ENTRIES * DESCRIPTOR_SIZE) / (PAGE_SIZE as u32)));
  readonly returnRing: u64 = physOf(devicePages.take((RING_ENTRIES * DESCRIPTOR_SIZE) / (PAGE_SIZE as u32)));
  private readonly buffers: u64 = physOf(devicePages.take((BUFFERS * BUFFER_SIZE) / (PAGE_SIZE as u32)));
  /** Which buffers the card has. */
  private readonly away: StaticArray<bool> = new StaticArray<bool>(BUFFERS);
  private count: u32 = 0;
  /** Where the next buffer is offered, and what the card has been told of. */
  private producer: u32 = 0;
  private told: u32 = 0;
  /** The entry of the return ring that comes next. */
  private next: u32 = 0;
  /** Whether the card has said what cannot be: then it is out of step. */
  broken: bool = false;
  private readonly frame: Frame = new Frame();

  constructor(
    private readonly registers: Registers,
    private readonly status: StatusBlock,
    private readonly chip: Chip,
  ) {}

  /** Forgets what was; the card has no buffers. */
  reset(): void {
    this.producer = this.told = this.next = this.count = 0;
    this.broken = false;
    for (let i: u32 = 0; i < BUFFERS; i++) unchecked((this.away[i] = false));
  }

  /** Gives the card all buffers, once it can fetch them. */
  offerAll(): void {
    for (let i: u32 = 0; i < BUFFERS; i++) this.offer(i);
    this.tell();
  }

  /** Whether the card has told of frames that were not taken. */
  get waiting(): bool {
    return this.status.returnProducer != this.next;
  }

  /** Gives each frame to `receiver`, until it can take no more; null drops them. */
  poll(receiver: FrameReceiver | null): void {
    const producer = this.status.returnProducer;
    // More frames than the card has buffers are none.
    const frames = (producer - this.next) % RING_ENTRIES;
    if (producer >= RING_ENTRIES || frames > this.count) {
      this.broken = true;
      return;
    }
    if (frames == 0) return;
    const start = this.next;
    for (let left = frames; left; left--) {
      const entry = this.returnRing + ((this.next * DESCRIPTOR_SIZE) as u64);
      if (!this.hand(entry, receiver)) break;
      this.next = (this.next + 1) % RING_ENTRIES;
    }
    if (this.next == start) return;
    // First the entries, then the buffers: else the card could return more than the ring has room for.
    this.registers.write(Register.ReturnConsumer, this.next);
    this.tell();
  }

  /** Hands on the frame of an entry and takes its buffer back; false if the receiver cannot take it now. */
  private hand(entry: u64, receiver: FrameReceiver | null): bool {
    const buffer = physRead32(entry + Word.Own);
    if (buffer >= BUFFERS || !unchecked(this.away[buffer])) {
      this.broken = true;
      netCounters.receiveErrors++;
      return true;
    }
    if (!this.gather(entry, buffer)) netCounters.receiveErrors++;
    else if (receiver !== null && !receiver.receive(this.frame)) return false;
    unchecked((this.away[buffer] = false));
    this.count--;
    this.offer(buffer);
    return true;
  }

  /** Fills in the frame that lies in a buffer; false if it is damaged, or the card says what cannot be. */
  private gather(entry: u64, buffer: u32): bool {
    const length = physRead32(entry + Word.Length) & 0xffff;
    const flags = physRead32(entry + Word.Flags);
    if (length < HEADER_LENGTH + FCS || length > BUFFER_LENGTH || !(flags & Flag.End)) return false;
    if (flags & Flag.Error && physRead32(entry + Word.Errors) & ERRORS & ~ODD_NIBBLE) return false;
    const checksum = physRead32(entry + Word.Checksums) & 0xffff;
    const frame = this.frame;
    frame.clear();
    frame.add(this.place(buffer), length - FCS);
    frame.checksumGood = (flags & Flag.TransportChecksum) != 0 && checksum == CHECKSUM_RIGHT;
    return true;
  }

  private offer(buffer: u32): void {
    const entry = this.standardRing + ((this.producer * DESCRIPTOR_SIZE) as u64);
    const address = this.place(buffer);
    physWrite32(entry + Word.AddressHigh, (address >> 32) as u32);
    physWrite32(entry + Word.AddressLow, address as u32);
    physWrite32(entry + Word.Length, BUFFER_LENGTH);
    physWrite32(entry + Word.Flags, Flag.End);
    physWrite32(entry + Word.Own, buffer);
    unchecked((this.away[buffer] = true));
    this.count++;
    this.producer = (this.producer + 1) % RING_ENTRIES;
  }

  /** Tells the card of the buffers that were offered. */
  private tell(): void {
    const most = this.chip == Chip.Bcm5755 ? OFFER_AT_MOST : RING_ENTRIES;
    while (this.told != this.producer) {
      this.told = (this.told + min(most, (this.producer - this.told) % RING_ENTRIES)) % RING_ENTRIES;
      this.registers.write(Register.StandardProducer, this.told);
    }
  }

  private place(buffer: u32): u64 {
    return this.buffers + ((buffer * BUFFER_SIZE) as u64);
  }
}
