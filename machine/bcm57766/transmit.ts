// Transmitting: the send ring in the host's memory (5722 guide, section 5).
import { get16, put16, sum } from "../net/frames.ts";
import { segment } from "../net/offload.ts";
import { MINIMUM } from "../net/wire.ts";
import { checksumOffset, parse } from "./checksum.ts";
import { Mode, Reg, RING_ENTRIES, SEND_BD, SendFlag, Sram } from "./registers.ts";
import { type CardState, distance, ringAddress } from "./state.ts";

/** The family does not get fewer bytes right in one descriptor. */
const SHORTEST_PIECE = 9;
const LARGEST = 1518;
/** Bits of the send data initiator and of the read DMA engine. */
const CUT_IN_HARDWARE = 1 << 3;
const CUT_IPV4 = 1 << 27;
const CUT_IPV6 = 1 << 28;

/** A packet between its first descriptor and the one with the end flag. */
interface Packet {
  readonly pieces: Uint8Array[];
  readonly flags: number;
  readonly options: number;
  descriptors: number;
}

export class Transmitter {
  /** While true, descriptors are left alone: the wire is busy. */
  paused = false;
  readonly #card: CardState;
  #producer = 0;
  #packet: Packet | undefined;

  constructor(card: CardState) {
    this.#card = card;
  }

  reset(): void {
    this.#producer = 0;
    this.#packet = undefined;
  }

  /** The driver moves the producer index. */
  offer(producer: number): void {
    const { coalescing, order } = this.#card;
    const queued = distance(coalescing.sendConsumer, this.#producer, RING_ENTRIES);
    const more = distance(this.#producer, producer, RING_ENTRIES);
    if (queued + more >= RING_ENTRIES) order.violate("the send ring is written over");
    this.#producer = producer;
    this.run();
  }

  run(): void {
    const { coalescing } = this.#card;
    while (!this.paused && this.#card.order.running && coalescing.sendConsumer !== this.#producer) this.#next();
  }

  #next(): void {
    const { coalescing, boot, order, pci } = this.#card;
    const ring = ringAddress(boot.get(Sram.SendRing), boot.get(Sram.SendRing + 4));
    if (boot.get(Sram.SendRing + 8) !== RING_ENTRIES << 16) order.violate("a send ring of another size");
    if (!(this.#card.get(Reg.ModeControl) & Mode.HostSendRing)) order.violate("a send ring in the card's memory");
    const bytes = pci.dmaRead(ring + coalescing.sendConsumer * SEND_BD, SEND_BD);
    const descriptor = new DataView(bytes.buffer, bytes.byteOffset, SEND_BD);
    const flags = this.#gather(descriptor);
    coalescing.sendConsumer = (coalescing.sendConsumer + 1) % RING_ENTRIES;
    if (!(flags & SendFlag.End)) return;
    const packet = this.#packet!;
    this.#packet = undefined;
    this.#finish(packet);
    coalescing.happened(coalescing.send, packet.descriptors, (flags & SendFlag.CoalesceNow) !== 0);
  }

  /** Takes one descriptor's bytes; returns its flags. */
  #gather(descriptor: DataView): number {
    const { order, pci } = this.#card;
    const address = ringAddress(descriptor.getUint32(0, true), descriptor.getUint32(4, true));
    const word = descriptor.getUint32(8, true);
    const [length, flags, options] = [word >>> 16, word & 0xffff, descriptor.getUint32(12, true)];
    if (length < SHORTEST_PIECE) order.violate(`a send descriptor of ${length} bytes`);
    if (Math.floor(address / 2 ** 32) !== Math.floor((address + length - 1) / 2 ** 32)) {
      order.violate("a send descriptor across a border of 4 GiB");
    }
    const common = flags & ~(SendFlag.End | SendFlag.CoalesceNow);
    this.#packet ??= { pieces: [], flags: common, options, descriptors: 0 };
    const { pieces } = this.#packet;
    if (common !== this.#packet.flags || options !== this.#packet.options) order.violate("one packet with two wishes");
    pieces.push(pci.dmaRead(address, length));
    this.#packet.descriptors++;
    return flags;
  }

  #finish({ pieces, flags, options }: Packet): void {
    const { order } = this.#card;
    const packet = Uint8Array.from(pieces.flatMap((piece) => [...piece]));
    const tag = flags & SendFlag.Vlan ? options & 0xffff : undefined;
    if (flags & SendFlag.Lso) {
      for (const frame of this.#cut(packet, flags, options >>> 16)) this.#send(frame, tag);
      return;
    }
    if (packet.length < MINIMUM) order.violate(`a frame of ${packet.length} bytes`);
    if (flags & SendFlag.Checksum) this.#fillChecksum(packet);
    this.#send(packet, tag);
  }

  #fillChecksum(packet: Uint8Array): void {
    const headers = parse(packet);
    if (!headers) return this.#card.order.violate("a checksum in a frame that the card does not understand");
    const { transport, protocol, length } = headers;
    if (!(this.#card.get(Reg.ModeControl) & Mode.NoSendPseudoHeader)) this.#card.order.violate("a pseudo header twice");
    put16(packet, transport + checksumOffset(protocol), ~sum(packet, transport, transport + length) & 0xffff);
  }

  /** Large send offload: the card completes lengths and checksums, which the driver leaves as it wants them. */
  #cut(packet: Uint8Array, flags: number, mss: number): Uint8Array[] {
    const { order, facts } = this.#card;
    const headers = parse(packet);
    if (!headers || headers.protocol !== 6) return order.violate("cutting what is not TCP");
    const { ipv4, ip, transport } = headers;
    const length = transport - ip + (packet[transport + 12]! >> 4) * 4;
    const segmentSize = facts.from57765 ? mss & 0x3fff : mss & 0x7ff;
    const late = ((mss >>> 12) & 0xc) | (flags & 0x10) | ((flags & 0x7c00) >>> 5);
    const told = facts.from57765 ? late : (mss >>> 11) * 4;
    this.#checkCutting(ipv4);
    if (told !== length) order.violate(`headers of ${told} bytes, which have ${length}`);
    if (get16(packet, transport + 16) !== 0) order.violate("cutting with a TCP checksum in place");
    if (ipv4 && (get16(packet, ip + 10) || get16(packet, ip + 2) !== segmentSize + length)) {
      order.violate("cutting with a wrong length or checksum in the IPv4 header");
    }
    put16(packet, transport + 16, headers.pseudo);
    const context = {
      ipStart: ip,
      ipOffset: ip + 10,
      ipEnd: transport - 1,
      tcpStart: transport,
      tcpOffset: transport + 16,
    };
    const sizes = { tcpEnd: 0, payloadLength: packet.length - ip - length, headerLength: ip + length, segmentSize };
    return segment(packet, { ...context, ...sizes, tcp: true, ipv4 }, ipv4, true);
  }

  /** The blocks that cut have to be told so. */
  #checkCutting(ipv4: boolean): void {
    const { order, facts } = this.#card;
    const needed = ipv4 ? CUT_IPV4 : facts.from57765 ? CUT_IPV6 : 0;
    const cuts = (this.#card.get(Reg.SendDataInitiator) & CUT_IN_HARDWARE) !== 0;
    if (!cuts || (this.#card.get(Reg.ReadDma) & needed) !== needed) order.violate("cutting where it is not turned on");
  }

  #send(frame: Uint8Array, tag: number | undefined): void {
    if (frame.length > LARGEST) this.#card.order.violate(`a frame of ${frame.length} bytes`);
    if (tag === undefined) return this.#card.wire.fromCard(frame);
    const inserted = [0x81, 0x00, tag >>> 8, tag & 0xff];
    this.#card.wire.fromCard(Uint8Array.of(...frame.subarray(0, 12), ...inserted, ...frame.subarray(12)));
  }
}
