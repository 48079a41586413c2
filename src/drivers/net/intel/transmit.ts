import { devicePages } from "../../../memory/device-pages";
import { PAGE_SIZE } from "../../../memory/frames";
import { physOf, physRead32, physWrite64 } from "../../../metal";
import { Frame, Handed, NO_TOKEN, Offload } from "../card";
import { Register, Registers } from "./registers";
import { SegmentationHeaders } from "./segmentation";

// Extended transmit descriptors (82574 datasheet 7.2.10 and 7.2.11). A context descriptor says what the data
// descriptors after it want done:
//      63      48 47    40 39    32 31      16 15     8 7      0
//    0 |  TUCSE  | TUCSO  | TUCSS  |  IPCSE   | IPCSO  | IPCSS |
//      63      48 47    40 39    36 35 32 31      24 23  20 19 0
//    8 |   MSS   | HDRLEN |  rsv  | STA |  TUCMD   | DTYP | PAYLEN |
// A data descriptor has the buffer's address and
//    8 | special | POPTS  |  rsv  | STA |   DCMD   | DTYP | DTALEN |
const enum DescriptorType {
  Context = 0 << 20,
  Data = 1 << 20,
}
const enum ContextCommand {
  TCP = 1 << 24,
  IP = 1 << 25,
}
const enum DataCommand {
  EOP = 1 << 24,
  IFCS = 1 << 25,
  TSE = 1 << 26,
  RS = 1 << 27,
  DEXT = 1 << 29,
  IDE = 1 << 31,
}
/** Packet options, as bits of a descriptor's upper dword. */
const enum PacketOption {
  IXSM = 1 << 8,
  TXSM = 1 << 9,
}
const DONE: u32 = 1;

/** Bytes of the descriptor that drives others out. */
const PUSHED_OUT: u32 = 512;
/** In the place of a frame's token. */
const REMINDER: u32 = NO_TOKEN - 1;

const DESCRIPTORS: u32 = 512;
const DESCRIPTOR_SIZE: u32 = 16;
/** The most that the 8254x takes in one descriptor without filling its FIFO. */
const MAXIMUM_DATA: u32 = 4096;
/** Room for the headers of each frame that is cut; the slot's number is that of the frame's first descriptor. */
const HEADER_SLOT: u32 = 256;
/** Payload that goes with the headers: the 82571 to 82573 do not take headers alone in a descriptor. */
const PAYLOAD_WITH_HEADERS: u32 = 4;

/** An Ethernet header, a VLAN tag and 1500 bytes; below 17 bytes the card does not pad. */
const MAXIMUM_FRAME: u64 = 1518;
const MINIMUM_FRAME: u64 = 17;
/** The largest IP packet with an Ethernet header and a VLAN tag. */
const MAXIMUM_CUT_FRAME: u64 = 0xffff + 18;

/** The descriptors that the card sends from: straight out of the memory that frames lie in. */
export class TransmitRing {
  private readonly ring: u64 = physOf(devicePages.take((DESCRIPTORS * DESCRIPTOR_SIZE) / (PAGE_SIZE as u32)));
  private readonly slots: usize = devicePages.take((DESCRIPTORS * HEADER_SLOT) / (PAGE_SIZE as u32));
  private readonly headers: SegmentationHeaders = new SegmentationHeaders();
  /** The frame that starts at a descriptor: its last descriptor and its token. */
  private readonly lasts: StaticArray<u32> = new StaticArray<u32>(DESCRIPTORS);
  private readonly tokens: StaticArray<u32> = new StaticArray<u32>(DESCRIPTORS);
  /** Oldest descriptor not reclaimed; next to fill; what the card has been told of. */
  private oldest: u32 = 0;
  private next: u32 = 0;
  private told: u32 = 0;
  /** Upper qword of the descriptor filled last. */
  private lastWord: u64 = 0;

  constructor(private readonly registers: Registers) {}

  start(): void {
    const registers = this.registers;
    this.oldest = this.next = this.told = 0;
    registers.writePair(Register.TDBAL, this.ring);
    registers.write(Register.TDLEN, DESCRIPTORS * DESCRIPTOR_SIZE);
    registers.write(Register.TDH, 0);
    registers.write(Register.TDT, 0);
  }

  /** Whether the card has what it was told last. */
  isInStep(): bool {
    return this.registers.read(Register.TDT) == this.told;
  }

  get sending(): bool {
    return this.oldest != this.next;
  }

  /** With `prompt` the card interrupts as soon as the frame is sent, without it after a delay. */
  send(frame: Frame, token: u32, prompt: bool): Handed {
    if (frame.truncated || frame.length < MINIMUM_FRAME) return Handed.Refused;
    const cut = (frame.offloads & (Offload.Tcp4 | Offload.Tcp6)) != 0;
    if (frame.length > (cut ? MAXIMUM_CUT_FRAME : MAXIMUM_FRAME)) return Handed.Refused;
    if (descriptorsFor(frame) > (this.oldest - this.next - 1) % DESCRIPTORS) return Handed.NoRoom;
    const first = this.next;
    if (cut) {
      if (!this.putCut(frame)) return Handed.Refused;
    } else if (frame.offloads & Offload.Checksum) {
      if (!this.putChecksum(frame)) return Handed.Refused;
    } else {
      this.putPieces(frame, DataCommand.DEXT | DataCommand.IFCS | DescriptorType.Data);
    }
    const last = (this.next - 1) % DESCRIPTORS;
    const end: u32 = DataCommand.EOP | DataCommand.RS | (prompt ? 0 : DataCommand.IDE);
    physWrite64(this.at(last) + 8, this.lastWord | (end as u64));
    this.note(first, last, token);
    return Handed.Taken;
  }

  /** Has the card interrupt after the delay of a frame sent: a context that nothing uses, written back (7.2.10). */
  remind(): void {
    if ((this.oldest - this.next - 1) % DESCRIPTORS == 0) return; // frames are being sent: their interrupt comes
    const first = this.next;
    this.put(0, DataCommand.DEXT | DescriptorType.Context | DataCommand.RS | DataCommand.IDE);
    this.note(first, first, REMINDER);
    this.flush();
  }

  private note(first: u32, last: u32, token: u32): void {
    unchecked((this.lasts[first] = last));
    unchecked((this.tokens[first] = token));
  }

  flush(): void {
    if (this.told == this.next) return;
    this.told = this.next;
    this.registers.write(Register.TDT, this.next);
  }

  reclaim(): u32 {
    while (this.oldest != this.told) {
      const last = unchecked(this.lasts[this.oldest]);
      if (!(physRead32(this.at(last) + 12) & DONE)) return NO_TOKEN;
      const token = unchecked(this.tokens[this.oldest]);
      this.oldest = (last + 1) % DESCRIPTORS;
      if (token != REMINDER) return token;
    }
    return NO_TOKEN;
  }

  /** The token of the oldest frame that is queued, whether it was sent or not; the card must not be sending. */
  abandon(): u32 {
    while (this.oldest != this.next) {
      const token = unchecked(this.tokens[this.oldest]);
      this.oldest = (unchecked(this.lasts[this.oldest]) + 1) % DESCRIPTORS;
      if (token != REMINDER) return token;
    }
    return NO_TOKEN;
  }

  /** Sends a descriptor of no meaning, to no one, and tells the card at once. */
  pushOut(): void {
    this.put(this.ring, DataCommand.DEXT | DataCommand.IFCS | DescriptorType.Data | PUSHED_OUT);
    this.flush();
  }

  /** Asks for a TCP or UDP checksum over the rest of the frame; its start and place have 8 bits in the descriptor. */
  private putChecksum(frame: Frame): bool {
    const start = frame.checksumStart;
    const place = start + frame.checksumOffset;
    if (place > 0xff || ((place + 2) as u64) > frame.length) return false;
    const command = DataCommand.DEXT | DescriptorType.Context;
    this.put(((start as u64) << 32) | ((place as u64) << 40), command);
    const options = (PacketOption.TXSM as u64) << 32;
    this.putPieces(frame, options | DataCommand.DEXT | DataCommand.IFCS | DescriptorType.Data);
    return true;
  }

  /** Asks for a TCP segment to be cut into frames of at most segmentSize payload bytes. */
  private putCut(frame: Frame): bool {
    const headers = this.headers;
    const slot = this.slots + ((this.next * HEADER_SLOT) as usize);
    if (frame.segmentSize == 0 || !headers.prepare(frame, slot, HEADER_SLOT)) return false;
    if (((headers.end + frame.segmentSize) as u64) > MAXIMUM_FRAME) return false;
    this.putCutContext(frame);
    const ipv4 = (frame.offloads & Offload.Tcp4) != 0;
    const options = ((PacketOption.TXSM | (ipv4 ? PacketOption.IXSM : 0)) as u64) << 32;
    const command = options | DataCommand.DEXT | DataCommand.TSE | DataCommand.IFCS | DescriptorType.Data;
    const withHeaders = headers.end + (min(PAYLOAD_WITH_HEADERS as u64, frame.length - (headers.end as u64)) as u32);
    this.put(physOf(slot), command | (withHeaders as u64));
    frame.drop(withHeaders);
    this.putPieces(frame, command);
    return true;
  }

  private putCutContext(frame: Frame): void {
    const ip = this.headers.ip as u64;
    const tcp = this.headers.tcp as u64;
    const end = this.headers.end as u64;
    const ipv4 = (frame.offloads & Offload.Tcp4) != 0;
    // IPv6 has no checksum, but the card must know where its length is.
    const ipFields = ipv4 ? ip | ((ip + 10) << 8) | ((tcp - 1) << 16) : ip;
    const tcpFields = (tcp << 32) | ((tcp + 16) << 40);
    const sizes = (end << 40) | ((frame.segmentSize as u64) << 48) | (frame.length - end);
    const command = DataCommand.DEXT | DataCommand.TSE | ContextCommand.TCP | (ipv4 ? ContextCommand.IP : 0);
    this.put(ipFields | tcpFields, sizes | (command as u64) | DescriptorType.Context);
  }

  /** One data descriptor or more for each piece of the frame. */
  private putPieces(frame: Frame, command: u64): void {
    for (let i: u32 = 0, count = frame.count; i < count; i++) {
      let address = frame.address(i);
      for (let left = frame.lengthOf(i); left;) {
        const length = min(left, MAXIMUM_DATA);
        this.put(address, command | (length as u64));
        address += length as u64;
        left -= length;
      }
    }
  }

  private put(low: u64, high: u64): void {
    const descriptor = this.at(this.next);
    physWrite64(descriptor, low);
    physWrite64(descriptor + 8, high);
    this.lastWord = high;
    this.next = (this.next + 1) % DESCRIPTORS;
  }

  private at(index: u32): u64 {
    return this.ring + ((index * DESCRIPTOR_SIZE) as u64);
  }
}

/** Descriptors that a frame takes at most: its pieces, a context and the headers. */
function descriptorsFor(frame: Frame): u32 {
  let descriptors: u32 = 2;
  for (let i: u32 = 0, count = frame.count; i < count; i++)
    descriptors += (frame.lengthOf(i) + MAXIMUM_DATA - 1) / MAXIMUM_DATA;
  return descriptors;
}
