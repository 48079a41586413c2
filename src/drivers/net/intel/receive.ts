import { devicePages } from "../../../memory/device-pages";
import { PAGE_SIZE } from "../../../memory/frames";
import { physOf, physRead64, physWrite64 } from "../../../metal";
import { Frame, FrameReceiver } from "../card";
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
const BUFFER_SIZE: u32 = 2048;
/** Bytes of an Ethernet header, without which nothing is a frame. */
const HEADER_LENGTH: u64 = 14;

/** The descriptors and buffers that the card receives into. All but one belong to the card when nothing is received. */
export class ReceiveRing {
  private readonly ring: u64 = physOf(devicePages.take((DESCRIPTORS * DESCRIPTOR_SIZE) / (PAGE_SIZE as u32)));
  private readonly buffers: u64 = physOf(devicePages.take((DESCRIPTORS * BUFFER_SIZE) / (PAGE_SIZE as u32)));
  /** The descriptor that the card fills next. */
  private next: u32 = 0;
  private readonly frame: Frame = new Frame();

  constructor(private readonly registers: Registers) {}

  start(): void {
    const registers = this.registers;
    for (let i: u32 = 0; i < DESCRIPTORS; i++) this.giveBack(i);
    this.next = 0;
    registers.writePair(Register.RDBAL, this.ring);
    registers.write(Register.RDLEN, DESCRIPTORS * DESCRIPTOR_SIZE);
    registers.write(Register.RDH, 0);
    registers.write(Register.RDT, 0);
  }

  /** Gives the card all descriptors but one, once it receives. */
  offer(): void {
    this.registers.write(Register.RDT, DESCRIPTORS - 1);
  }

  /** Gives each complete frame to `receiver`, one ring full at most; null drops them. */
  poll(receiver: FrameReceiver | null): void {
    const start = this.next;
    for (let left = DESCRIPTORS; left;) {
      const used = this.gather();
      if (used == 0 || used > left) break;
      const last = this.status((this.next + used - 1) % DESCRIPTORS);
      if (this.frame.truncated || this.frame.length < HEADER_LENGTH || errorsOf(last) & FRAME_ERRORS) {
        netCounters.receiveErrors++;
      } else if (receiver !== null) {
        this.frame.checksumGood = checksumGood(last);
        if (!receiver.receive(this.frame)) break;
      }
      for (let i: u32 = 0; i < used; i++) this.giveBack((this.next + i) % DESCRIPTORS);
      this.next = (this.next + used) % DESCRIPTORS;
      left -= used;
    }
    if (this.next != start) this.registers.write(Register.RDT, (this.next - 1) % DESCRIPTORS);
  }

  /** Finds the pieces of the next frame; returns its descriptors, or 0 while it is not complete. */
  private gather(): u32 {
    const frame = this.frame;
    frame.clear();
    for (let used: u32 = 1; used < DESCRIPTORS; used++) {
      const index = (this.next + used - 1) % DESCRIPTORS;
      const status = this.status(index);
      if (!(statusOf(status) & ReceiveStatus.DD)) return 0;
      const length = (status as u32) & 0xffff;
      // A length that the buffer cannot have is a fault of the card: the frame counts as damaged.
      if (length > BUFFER_SIZE) frame.truncated = true;
      else if (length) frame.add(this.buffer(index), length);
      if (statusOf(status) & ReceiveStatus.EOP) return used;
    }
    frame.truncated = true;
    return DESCRIPTORS - 1;
  }

  private giveBack(index: u32): void {
    const descriptor = this.ring + ((index * DESCRIPTOR_SIZE) as u64);
    physWrite64(descriptor, this.buffer(index));
    physWrite64(descriptor + 8, 0);
  }

  private status(index: u32): u64 {
    return physRead64(this.ring + ((index * DESCRIPTOR_SIZE + 8) as u64));
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
