import { devicePages } from "../../../memory/device-pages";
import { PAGE_SIZE } from "../../../memory/frames";
import { physOf, physRead64, physWrite64 } from "../../../metal";
import { Frame, FrameReceiver, NO_TOKEN } from "../card";
import { netCounters } from "../counters";
import { Register, Registers } from "./registers";

// Legacy receive descriptor (82574 datasheet 7.1.4):
//      63                48 47    40 39    32 31               16 15                0
//    0 |                            address of the buffer                           |
//    8 |     special       | errors | status |     checksum      |      length      |
const enum ReceiveStatus {
  DD = 1 << 0,
  EOP = 1 << 1,
  IXSM = 1 << 2,
  UDPCS = 1 << 4,
  TCPCS = 1 << 5,
}
const enum ReceiveError {
  CE = 1 << 0,
  SE = 1 << 1,
  SEQ = 1 << 2,
  CXE = 1 << 4,
  TCPE = 1 << 5,
  RXE = 1 << 7,
}
const FRAME_ERRORS: u32 = ReceiveError.CE | ReceiveError.SE | ReceiveError.SEQ | ReceiveError.CXE | ReceiveError.RXE;

const DESCRIPTORS: u32 = 256;
const DESCRIPTOR_SIZE: u32 = 16;
export const BUFFER_SIZE: u32 = 2048;
/**
 * The most that the card writes for a frame while long packets are off and the FCS is stripped: an Ethernet header, a
 * VLAN tag and 1500 bytes. So much, and virtio's header, is what Linux offers without merged buffers.
 */
export const LEND_SIZE: u32 = 1518;
/** Bytes of an Ethernet header, without which nothing is a frame. */
const HEADER_LENGTH: u32 = 14;

/**
 * The descriptors that the card receives by. Either each has a buffer of the ring's own, and all but one belong to the
 * card when nothing is received; or each that belongs to the card has a buffer that was lent.
 */
export class ReceiveRing {
  private readonly ring: u64 = physOf(devicePages.take((DESCRIPTORS * DESCRIPTOR_SIZE) / (PAGE_SIZE as u32)));
  private readonly buffers: u64 = physOf(devicePages.take((DESCRIPTORS * BUFFER_SIZE) / (PAGE_SIZE as u32)));
  private lent: bool = false;
  /** What each descriptor's buffer was lent with. */
  private readonly tokens: StaticArray<u32> = new StaticArray<u32>(DESCRIPTORS);
  /** The descriptor that the card fills next; the first that is not the card's; and the same as the card was told. */
  private next: u32 = 0;
  private tail: u32 = 0;
  private told: u32 = 0;
  private readonly frame: Frame = new Frame();
  /** Whether what comes next is the rest of a damaged frame. */
  private damaged: bool = false;

  constructor(private readonly registers: Registers) {}

  /** Begins afresh, while the card does not receive. */
  start(lent: bool): void {
    const registers = this.registers;
    this.lent = lent;
    this.next = this.tail = this.told = 0;
    this.damaged = false;
    registers.writePair(Register.RDBAL, this.ring);
    registers.write(Register.RDLEN, DESCRIPTORS * DESCRIPTOR_SIZE);
    registers.write(Register.RDH, 0);
    registers.write(Register.RDT, 0);
    while (!lent && this.room) this.put(this.buffer(this.tail), NO_TOKEN);
  }

  /** Whether the card has what it was told last. */
  isInStep(): bool {
    return this.registers.read(Register.RDT) == this.told;
  }

  /** Descriptors that can be given to the card. */
  get room(): u32 {
    return (this.next - this.tail - 1) % DESCRIPTORS;
  }

  lend(address: u64, token: u32): void {
    this.put(address, token);
  }

  /** Tells the card of the descriptors that it was given. */
  flush(): void {
    if (this.told == this.tail) return;
    this.told = this.tail;
    this.registers.write(Register.RDT, this.tail);
  }

  /** Gives what has been received to `receiver`, one ring full at most; null drops it. */
  poll(receiver: FrameReceiver | null): void {
    if (!this.lent) this.pollOwn(receiver);
    else if (receiver !== null) this.pollLent(receiver);
  }

  /** Gives each buffer that the card is done with back. A frame that would need more than one of them is damaged. */
  private pollLent(receiver: FrameReceiver): void {
    for (let left = (this.tail - this.next) % DESCRIPTORS; left; left--) {
      const index = this.next;
      const descriptor = this.status(index);
      const status = statusOf(descriptor);
      if (!(status & ReceiveStatus.DD)) return;
      const token = unchecked(this.tokens[index]);
      const length = (descriptor as u32) & 0xffff;
      this.next = (index + 1) % DESCRIPTORS;
      const whole = (status & ReceiveStatus.EOP) != 0;
      const sound = length >= HEADER_LENGTH && length <= LEND_SIZE && !(errorsOf(descriptor) & FRAME_ERRORS);
      if (sound && whole && !this.damaged) {
        receiver.filled(token, length, checksumGood(descriptor));
        continue;
      }
      if (whole) netCounters.receiveErrors++;
      this.damaged = !whole;
      receiver.unused(token);
    }
  }

  /** Gives each complete frame in the ring's own buffers to `receiver`, or drops it. */
  private pollOwn(receiver: FrameReceiver | null): void {
    for (let left = DESCRIPTORS; left;) {
      const used = this.gather();
      if (used == 0 || used > left) break;
      if (!this.handOn(receiver, used)) break;
      this.next = (this.next + used) % DESCRIPTORS;
      left -= used;
    }
    while (this.room) this.put(this.buffer(this.tail), NO_TOKEN);
    this.flush();
  }

  /** Gives the frame at hand, which has `used` descriptors, to `receiver`; false if that does not take it. */
  private handOn(receiver: FrameReceiver | null, used: u32): bool {
    const frame = this.frame;
    const last = this.status((this.next + used - 1) % DESCRIPTORS);
    if (frame.truncated || frame.length < (HEADER_LENGTH as u64) || errorsOf(last) & FRAME_ERRORS) {
      netCounters.receiveErrors++;
      return true;
    }
    if (receiver === null) return true;
    frame.checksumGood = checksumGood(last);
    return receiver.receive(frame);
  }

  /** Finds the pieces of the next frame; returns its descriptors, or 0 while it is not complete. */
  private gather(): u32 {
    const frame = this.frame;
    const most = (this.tail - this.next) % DESCRIPTORS;
    frame.clear();
    for (let used: u32 = 1; used <= most; used++) {
      const index = (this.next + used - 1) % DESCRIPTORS;
      const status = this.status(index);
      if (!(statusOf(status) & ReceiveStatus.DD)) return 0;
      const length = (status as u32) & 0xffff;
      // A length that the buffer cannot have is a fault of the card: the frame counts as damaged.
      if (length > BUFFER_SIZE) frame.truncated = true;
      else if (length) frame.add(physRead64(this.at(index)), length);
      if (statusOf(status) & ReceiveStatus.EOP) return used;
    }
    frame.truncated = true;
    return most;
  }

  private put(address: u64, token: u32): void {
    const descriptor = this.at(this.tail);
    physWrite64(descriptor, address);
    physWrite64(descriptor + 8, 0);
    unchecked((this.tokens[this.tail] = token));
    this.tail = (this.tail + 1) % DESCRIPTORS;
  }

  private status(index: u32): u64 {
    return physRead64(this.at(index) + 8);
  }
  private at(index: u32): u64 {
    return this.ring + ((index * DESCRIPTOR_SIZE) as u64);
  }
  private buffer(index: u32): u64 {
    return this.buffers + ((index * BUFFER_SIZE) as u64);
  }
}

function statusOf(descriptor: u64): u32 {
  return ((descriptor >> 32) as u32) & 0xff;
}
function errorsOf(descriptor: u64): u32 {
  return ((descriptor >> 40) as u32) & 0xff;
}

/** Whether the card checked the TCP or UDP checksum and found it right (82574 datasheet 7.1.10). */
function checksumGood(descriptor: u64): bool {
  const status = statusOf(descriptor);
  if (status & ReceiveStatus.IXSM || errorsOf(descriptor) & ReceiveError.TCPE) return false;
  return (status & (ReceiveStatus.TCPCS | ReceiveStatus.UDPCS)) != 0;
}
