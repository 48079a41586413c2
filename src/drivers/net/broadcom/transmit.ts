import { devicePages } from "../../../memory/device-pages";
import { PAGE_SIZE } from "../../../memory/frames";
import { physOf } from "../../../metal";
import { Frame, Handed, NO_TOKEN, Offload } from "../card";
import { cardFindsChecksum, checksumOf, LOOKED_AT } from "./checksum";
import { RING_ENTRIES, SendDescriptors, SendFlag } from "./descriptors";
import { Chip } from "./ids";
import { Register, Registers } from "./registers";
import { CutHeaders } from "./segmentation";
import { StatusBlock } from "./status";

/** Room for bytes that are copied, for each descriptor: headers, frames that are too short, pieces that are too short. */
const SLOT: u32 = 256;
/** The card gets pieces of fewer bytes wrong, a defect of the family. */
const SHORTEST_PIECE: u32 = 9;
/** The most in one descriptor: its length has 16 bits. */
const LONGEST_PIECE: u32 = 0x8000;
/** Bytes copied to make one piece of several that are too short. */
const COPIED_PIECE: u32 = 64;
/** In the place of a frame's token. */
const FORGOTTEN: u32 = NO_TOKEN - 1;
const BORDER: u64 = 1 << 32;

const HEADER_LENGTH: u64 = 14;
/** The shortest frame without FCS; shorter ones are filled up here. */
const SHORTEST_FRAME: u32 = 60;
/** An Ethernet header, a VLAN tag and 1500 bytes. */
const LONGEST_FRAME: u64 = 1518;
/** The largest IP packet with an Ethernet header and a VLAN tag. */
const LONGEST_CUT_FRAME: u64 = 0xffff + 18;

/** The frames that the card is given to send, straight out of the memory that they lie in where that is possible. */
export class TransmitRing {
  readonly descriptors: SendDescriptors = new SendDescriptors();
  private readonly slots: usize = devicePages.take((RING_ENTRIES * SLOT) / (PAGE_SIZE as u32));
  private readonly headers: CutHeaders;
  /** The frame that starts at a descriptor: its last descriptor and its token. */
  private readonly lasts: StaticArray<u32> = new StaticArray<u32>(RING_ENTRIES);
  private readonly tokens: StaticArray<u32> = new StaticArray<u32>(RING_ENTRIES);
  /** Oldest descriptor not reclaimed; what the card has been told of. */
  private oldest: u32 = 0;
  private told: u32 = 0;
  /** Whether the card has said what cannot be: then it is out of step. */
  broken: bool = false;

  constructor(
    private readonly registers: Registers,
    private readonly status: StatusBlock,
    chip: Chip,
  ) {
    this.headers = new CutHeaders(chip);
  }

  /** Forgets the tokens of all frames; the card has taken them out of their memory, but will tell of them only later. */
  forget(): void {
    for (let i = this.oldest; i != this.told; i = (i + 1) % RING_ENTRIES) unchecked((this.tokens[i] = FORGOTTEN));
  }

  /** Forgets all frames; the card was reset. */
  reset(): void {
    this.oldest = this.told = this.descriptors.next = 0;
    this.broken = false;
  }

  get sending(): bool {
    return this.oldest != this.descriptors.next;
  }
  /** Whether the card has told of frames sent that were not reclaimed. */
  get waiting(): bool {
    return this.status.sendConsumer != this.oldest;
  }
  /** Whether the card is done with all that it was told of; `consumer` is its own index. */
  isDone(consumer: u32): bool {
    return consumer == this.told;
  }

  /** With `prompt` the card tells as soon as the frame is sent, without it after a delay. */
  send(frame: Frame, token: u32, prompt: bool): Handed {
    if (frame.truncated || frame.length < HEADER_LENGTH) return Handed.Refused;
    const cut = (frame.offloads & (Offload.Tcp4 | Offload.Tcp6)) != 0;
    if (frame.length > (cut ? LONGEST_CUT_FRAME : LONGEST_FRAME)) return Handed.Refused;
    if (descriptorsFor(frame) > (this.oldest - this.descriptors.next - 1) % RING_ENTRIES) return Handed.NoRoom;
    const first = this.descriptors.next;
    if (!(cut ? this.putCut(frame) : this.putWhole(frame))) return Handed.Refused;
    unchecked((this.lasts[first] = this.descriptors.finish(SendFlag.End | (prompt ? SendFlag.CoalesceNow : 0))));
    unchecked((this.tokens[first] = token));
    return Handed.Taken;
  }

  flush(): void {
    if (this.told == this.descriptors.next) return;
    this.told = this.descriptors.next;
    this.registers.write(Register.SendProducer, this.told);
  }

  /** The consumer index is the first descriptor that the card is not done with; one that cannot be tells nothing. */
  reclaim(): u32 {
    const consumer = this.status.sendConsumer;
    const done = (consumer - this.oldest) % RING_ENTRIES;
    if (done == 0 && consumer < RING_ENTRIES) return NO_TOKEN;
    if (consumer >= RING_ENTRIES || done > (this.told - this.oldest) % RING_ENTRIES) {
      this.broken = true;
      return NO_TOKEN;
    }
    while (this.oldest != consumer) {
      const last = unchecked(this.lasts[this.oldest]);
      if ((last - this.oldest) % RING_ENTRIES >= (consumer - this.oldest) % RING_ENTRIES) break;
      const token = unchecked(this.tokens[this.oldest]);
      this.oldest = (last + 1) % RING_ENTRIES;
      if (token != FORGOTTEN) return token;
    }
    return NO_TOKEN;
  }

  /** The token of the oldest frame that is queued, whether it was sent or not; the card must not be sending. */
  abandon(): u32 {
    while (this.oldest != this.descriptors.next) {
      const token = unchecked(this.tokens[this.oldest]);
      this.oldest = (unchecked(this.lasts[this.oldest]) + 1) % RING_ENTRIES;
      if (token != FORGOTTEN) return token;
    }
    return NO_TOKEN;
  }

  private putWhole(frame: Frame): bool {
    let flags: u32 = 0;
    const slot = this.slot();
    const asked = (frame.offloads & Offload.Checksum) != 0;
    const short = frame.length < (SHORTEST_FRAME as u64);
    if (asked) {
      const place = frame.checksumStart + frame.checksumOffset;
      if (place + 2 > SLOT || ((place + 2) as u64) > frame.length) return false;
      frame.copyTo(physOf(slot), min(LOOKED_AT as u64, frame.length) as u32);
      // What the card would not find is summed up here.
      if (!short && cardFindsChecksum(frame, slot)) flags = SendFlag.Checksum;
      else this.putSummed(frame, slot, place);
    } else if (short) {
      this.putFilled(frame, slot);
    }
    this.putPieces(frame, flags, 0);
    return true;
  }

  /** A frame whose checksum is filled in here: its first bytes are copied. */
  private putSummed(frame: Frame, slot: usize, place: u32): void {
    const checksum = checksumOf(frame);
    const copied = min(frame.length, SLOT as u64) as u32;
    memory.fill(slot, 0, SHORTEST_FRAME);
    frame.copyTo(physOf(slot), copied);
    store<u16>(slot + place, checksum);
    this.descriptors.put(physOf(slot), max(copied, SHORTEST_FRAME), 0, 0);
    frame.drop(copied);
  }

  /** A frame that is filled up with zeros to the shortest that there is. */
  private putFilled(frame: Frame, slot: usize): void {
    const length = frame.length as u32;
    memory.fill(slot, 0, SHORTEST_FRAME);
    frame.copyTo(physOf(slot), length);
    this.descriptors.put(physOf(slot), SHORTEST_FRAME, 0, 0);
    frame.drop(length);
  }

  /** Asks for a TCP segment to be cut into frames of at most segmentSize payload bytes. */
  private putCut(frame: Frame): bool {
    const headers = this.headers;
    const slot = this.slot();
    if (!headers.prepare(frame, slot, SLOT)) return false;
    if (((headers.end + frame.segmentSize) as u64) > LONGEST_FRAME) return false;
    this.descriptors.put(physOf(slot) + (headers.skipped as u64), headers.length, headers.flags, headers.options);
    frame.drop(headers.end);
    this.putPieces(frame, headers.flags, headers.options);
    return true;
  }

  /** The rest of a frame, in pieces that the card takes. */
  private putPieces(frame: Frame, flags: u32, options: u32): void {
    while (frame.length) {
      const address = frame.address(0);
      let length = min(frame.lengthOf(0), LONGEST_PIECE);
      length = min(length as u64, BORDER - (address & (BORDER - 1))) as u32;
      const left = frame.length - (length as u64);
      // Nothing that is too short may be left for the end.
      if (left && left < (SHORTEST_PIECE as u64)) length -= SHORTEST_PIECE;
      if ((length as i32) >= (SHORTEST_PIECE as i32)) {
        this.descriptors.put(address, length, flags, options);
        frame.drop(length);
      } else {
        this.putCopied(frame, flags, options);
      }
    }
  }

  /** Several pieces as one, by copying. */
  private putCopied(frame: Frame, flags: u32, options: u32): void {
    const slot = this.slot();
    let length = min(COPIED_PIECE as u64, frame.length) as u32;
    const left = frame.length - (length as u64);
    if (left && left < (SHORTEST_PIECE as u64)) length -= SHORTEST_PIECE;
    frame.copyTo(physOf(slot), length);
    this.descriptors.put(physOf(slot), length, flags, options);
    frame.drop(length);
  }

  /** The room that belongs to the descriptor filled next. */
  private slot(): usize {
    return this.slots + ((this.descriptors.next * SLOT) as usize);
  }
}

/** Descriptors that a frame takes at most: its pieces, parted at 4 GiB and where they are long, headers, two copied ends. */
function descriptorsFor(frame: Frame): u32 {
  let descriptors: u32 = 3;
  for (let i: u32 = 0, count = frame.count; i < count; i++)
    descriptors += (frame.lengthOf(i) + LONGEST_PIECE - 1) / LONGEST_PIECE + 1;
  return descriptors;
}
