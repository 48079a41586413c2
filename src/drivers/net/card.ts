import { SegmentList } from "./segments";

// The one interface between the card behind (intel/, broadcom/) and the card in front (virtio/). Neither knows the other.

/** What a card can be asked to do with a frame that it sends. */
export const enum Offload {
  /** Fill in a TCP or UDP checksum. */
  Checksum = 1 << 0,
  /** Cut a large TCP segment over IPv4 into frames. */
  Tcp4 = 1 << 1,
  /** The same over IPv6. */
  Tcp6 = 1 << 2,
}

/** An Ethernet frame without its FCS, and what is asked of the card or what the card found. */
export class Frame extends SegmentList {
  /** Sending: Offload bits asked for. Tcp4 and Tcp6 come with Checksum, which then names the TCP header. */
  offloads: u32 = 0;
  /** First byte that the checksum covers; it already holds the sum of the pseudo-header. */
  checksumStart: u32 = 0;
  /** Where the checksum goes, from checksumStart. */
  checksumOffset: u32 = 0;
  /** Most bytes of TCP payload in a frame. */
  segmentSize: u32 = 0;
  /** Receiving: the card has seen that the TCP or UDP checksum is right. */
  checksumGood: bool = false;
}

/** What became of a frame given to the card. */
export const enum Handed {
  Taken,
  /** The card is full: again after `reclaim` has given something back. */
  NoRoom,
  /** This frame cannot be sent by this card. */
  Refused,
}

/** Reasons for which a card interrupts. */
export const enum Cause {
  Received = 1 << 0,
  Sent = 1 << 1,
  Link = 1 << 2,
}

export const NO_TOKEN: u32 = 0xffff_ffff;

/** Takes the frames that a card has received. */
export abstract class FrameReceiver {
  /** Takes one frame, before it returns; false if it cannot now: the card then keeps this frame and those after it. */
  abstract receive(frame: Frame): bool;
  /** Takes a buffer back that was lent, with a frame of `length` bytes in it. */
  abstract filled(token: u32, length: u32, checksumGood: bool): void;
  /** Takes a buffer back that was lent, with no frame in it. */
  abstract unused(token: u32): void;
}

/** A network card that Sheer owns. Nothing in it is told of interrupts: who owns the vector calls `acknowledge`. */
export abstract class NetworkCard {
  /** The MAC address: first byte in bits 7:0. */
  mac: u64 = 0;

  /** Brings the card up with all causes silent; false if it does not answer as it should. */
  abstract start(): bool;
  /** Whether the card has lost what it was told, by a reset that was not Sheer's or by a fault, and must be set up anew. */
  abstract isLost(): bool;
  /** Sets a card up anew that is lost, all causes silent; false if it does not answer. What it had to send is dropped. */
  abstract restart(): bool;
  /** Before that: the token of the oldest frame that is queued, sent or not, each once, or NO_TOKEN. */
  abstract abandon(): u32;
  /** Ends all DMA and interrupts. Touches registers only: it may be called when nothing else is sound. */
  abstract stop(): void;
  /** Tells where the card's registers lie from now on. */
  abstract moved(registers: u64): void;
  /** Whether its MSI may be used; else it interrupts by INTx alone. */
  abstract usesMessages(): bool;
  /** What the card can do with frames that it sends: Offload bits. */
  abstract offloads(): u32;
  abstract linkUp(): bool;

  /**
   * Queues a frame. The memory that it lies in must stay as it is until `reclaim` returns `token`. With `prompt` the
   * card tells as soon as it is sent, else some milliseconds later, so that one interrupt serves many frames.
   */
  abstract send(frame: Frame, token: u32, prompt: bool): Handed;
  /** Has the card interrupt for frames sent, some milliseconds from now. */
  abstract remind(): void;
  /** Starts what was queued and lent. */
  abstract flush(): void;
  /** The token of a frame that the card is done with, each once and in order, or NO_TOKEN. */
  abstract reclaim(): u32;
  /** Whether frames are queued that `reclaim` has not returned. */
  abstract sending(): bool;
  /** Drops all frames that are queued; the card touches their memory no more and their tokens are forgotten. */
  abstract forgetSends(): void;

  /** Gives what has been received to `receiver`: all of it, or until it can take no more. */
  abstract poll(receiver: FrameReceiver): void;
  /** Drops what has been received. */
  abstract forgetReceived(): void;

  /** Bytes that a buffer must have to be lent to the card for one frame; 0 if it receives into its own memory alone. */
  lendSize(): u32 {
    return 0;
  }
  /**
   * Bytes from a lent buffer's start on that must be the guest's: the card is told of so many. It writes no more than
   * lendSize of them, but of what a frame may be, emulators have ideas of their own.
   */
  lendReach(): u32 {
    return 0;
  }
  /**
   * From now on the card receives into buffers that are lent to it, one frame in each, or into its own memory. What it has
   * received is dropped, and buffers lent before are touched no more.
   */
  borrow(_lent: bool): void {
    // Nothing is lent to a card that cannot use it.
  }
  /** How many buffers may be lent now. */
  lendable(): u32 {
    return 0;
  }
  /** Lends a buffer of at least lendSize bytes until its frame comes with `token`. The card has it after `flush`. */
  lend(_address: u64, _token: u32): void {
    // As above.
  }

  /** At least so many microseconds pass between two interrupts. */
  moderate(_interval: u32): void {
    // A card that has no such timer interrupts at once.
  }

  /** Which causes interrupt from now on; one that is already waiting does so at once. */
  abstract listen(causes: u32): void;
  /** Takes back the interrupt request, and returns the causes it had. What happens later interrupts anew. */
  abstract acknowledge(): u32;
  /** Makes the card interrupt while it listens to `Link`, as if by itself. */
  abstract interrupt(): void;
}
