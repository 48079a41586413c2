// Receiving: the driver offers buffers in the standard producer ring and finds them again, with frames, in the return ring
// (5722 guide, section 6).
import { crc32, get16 } from "../net/frames.ts";
import { checkTransport } from "./checksum.ts";
import { MacMode, Mode, RECEIVE_BD, ReceiveFlag, ReceiveMode, Reg, RING_ENTRIES, Sram } from "./registers.ts";
import { type CardState, distance, ringAddress } from "./state.ts";
import type { Speed } from "./phy.ts";

const FCS = 4;
const SMALLEST = 60;
const LARGEST_TAG = 4;
const RING_DISABLED = 1 << 1;
const RETURN_RINGS = 4;

export class Receiver {
  readonly #card: CardState;
  /** Descriptors that the card has fetched, as they were when the driver offered them. */
  readonly #fetched: DataView[] = [];
  /** Buffers in the return ring whose frames the driver has not taken. */
  readonly #returned: number[] = [];
  #producer = 0;
  #lied = false;
  #returnConsumer = 0;

  constructor(card: CardState) {
    this.#card = card;
  }

  reset(): void {
    this.#fetched.length = this.#returned.length = 0;
    this.#producer = this.#returnConsumer = 0;
    this.#lied = false;
  }

  /** Buffers that the driver has offered and that are not used up. */
  get offered(): number {
    return this.#fetched.length;
  }

  /** The driver moves the standard producer index. */
  offer(producer: number): void {
    const { order, facts, coalescing } = this.#card;
    const more = distance(this.#producer, producer, RING_ENTRIES);
    if (more > facts.offerAtMost) order.violate(`${more} receive buffers by one write`);
    const unread = distance(this.#returnConsumer, coalescing.returnProducer, RING_ENTRIES);
    if (this.#fetched.length + more + unread >= RING_ENTRIES && !this.#lies())
      order.violate("more receive buffers than the rings hold");
    const base = ringAddress(this.#card.get(Reg.StandardRing), this.#card.get(Reg.StandardRingLow));
    for (let i = 0; i < more; i++) {
      const at = base + ((this.#producer + i) % RING_ENTRIES) * RECEIVE_BD;
      const bytes = this.#card.pci.dmaRead(at, RECEIVE_BD);
      const descriptor = new DataView(bytes.buffer, bytes.byteOffset, RECEIVE_BD);
      if (this.#returned.includes(bufferOf(descriptor)) && !this.#lies())
        order.violate("a buffer offered before its frame was taken");
      this.#fetched.push(descriptor);
    }
    this.#producer = producer;
  }

  /** The driver moves the return consumer index. */
  consumed(consumer: number): void {
    const { coalescing, order } = this.#card;
    const unread = distance(this.#returnConsumer, coalescing.returnProducer, RING_ENTRIES);
    const taken = distance(this.#returnConsumer, consumer, RING_ENTRIES);
    if (taken > unread && !this.#lies()) order.violate("frames taken that never came");
    this.#returned.splice(0, taken);
    this.#returnConsumer = consumer;
  }

  /** A card that tells of frames that are not there cannot complain of a driver that believes it. */
  #lies(): boolean {
    const { returnProducer, receiveIndex } = this.#card.faults;
    this.#lied ||= returnProducer !== undefined || receiveIndex !== undefined;
    return this.#lied;
  }

  /** A frame without FCS arrives; false if the card does not take it. */
  receive(frame: Uint8Array, speed: Speed): boolean {
    const { order } = this.#card;
    const port = this.#card.get(Reg.MacMode) & MacMode.PortMask;
    if (
      !order.running ||
      !(this.#card.get(Reg.MiStatus) & 1) ||
      port !== (speed === 1000 ? MacMode.PortGmii : MacMode.PortMii)
    )
      return false;
    const tagged = get16(frame, 12) === 0x8100;
    const keep = (this.#card.get(Reg.ReceiveMode) & ReceiveMode.KeepVlan) !== 0;
    const limit = this.#card.get(Reg.ReceiveMtu) + (tagged ? LARGEST_TAG : 0);
    if (frame.length < SMALLEST || frame.length + FCS > limit || !this.#accepts(frame)) return false;
    const buffer = this.#fetched.shift();
    if (!buffer) return false;
    const body = tagged && !keep ? Uint8Array.of(...frame.subarray(0, 12), ...frame.subarray(16)) : frame;
    this.#store(buffer, body, tagged && !keep ? get16(frame, 14) : undefined);
    return true;
  }

  #accepts(frame: Uint8Array): boolean {
    if (this.#card.get(Reg.ReceiveMode) & ReceiveMode.Promiscuous || frame.subarray(0, 6).every((b) => b === 0xff)) {
      return true;
    }
    const [high, low] = [this.#card.get(Reg.MacAddress), this.#card.get(Reg.MacAddress + 4)];
    const view = new DataView(frame.buffer, frame.byteOffset);
    return view.getUint16(0) === (high & 0xffff) && view.getUint32(2) === low;
  }

  #store(buffer: DataView, frame: Uint8Array, tag: number | undefined): void {
    const { pci, coalescing, order, faults } = this.#card;
    const length = frame.length + FCS;
    if ((buffer.getUint32(8, true) & 0xffff) < length) order.violate("a receive buffer too small for a frame");
    if (buffer.getUint32(12, true) !== ReceiveFlag.End) order.violate("a receive buffer without its flag");
    const bytes = new Uint8Array(length);
    bytes.set(frame);
    new DataView(bytes.buffer).setUint32(frame.length, crc32(frame), true);
    pci.dmaWrite(ringAddress(buffer.getUint32(0, true), buffer.getUint32(4, true)), bytes);
    coalescing.standardConsumer = (coalescing.standardConsumer + 1) % RING_ENTRIES;
    this.#return(buffer, faults.receiveLength ?? length, frame, tag);
    coalescing.happened(coalescing.receive, 1);
  }

  #return(buffer: DataView, length: number, frame: Uint8Array, tag: number | undefined): void {
    const { pci, coalescing, faults, order } = this.#card;
    const report = checkTransport(frame, (this.#card.get(Reg.ReceiveMode) & ReceiveMode.Ipv6Checksum) !== 0);
    if (this.#card.get(Reg.ModeControl) & Mode.NoReceivePseudoHeader) order.violate("checksums without pseudo headers");
    const flags =
      ReceiveFlag.End |
      (tag === undefined ? 0 : ReceiveFlag.Vlan) |
      (faults.receiveErrors ? ReceiveFlag.Error : 0) |
      (report.ip ? ReceiveFlag.IpChecksum : 0) |
      (report.transport ? ReceiveFlag.TransportChecksum : 0);
    const out = new DataView(new ArrayBuffer(RECEIVE_BD));
    for (let at = 0; at < 8; at += 4) out.setUint32(at, buffer.getUint32(at, true), true);
    out.setUint32(8, ((buffer.getUint32(8, true) & 0xffff_0000) | length) >>> 0, true);
    out.setUint32(12, faults.receiveFlags ?? flags, true);
    out.setUint32(16, ((report.ipSum << 16) | report.transportSum) >>> 0, true);
    out.setUint32(20, (faults.receiveErrors | (tag ?? 0)) >>> 0, true);
    out.setUint32(28, faults.receiveIndex ?? buffer.getUint32(28, true), true);
    this.#returned.push(bufferOf(buffer));
    pci.dmaWrite(this.#returnRing() + coalescing.returnProducer * RECEIVE_BD, new Uint8Array(out.buffer));
    coalescing.returnProducer = (coalescing.returnProducer + 1) % RING_ENTRIES;
  }

  /** Where the return ring is; the others must be off. */
  #returnRing(): number {
    const { boot, order, facts } = this.#card;
    const size = (ring: number): number => boot.get(Sram.ReturnRing + 16 * ring + 8);
    if (size(0) !== RING_ENTRIES << 16) order.violate("a return ring of another size");
    for (let ring = 1; ring < RETURN_RINGS; ring++) {
      if (!(size(ring) & RING_DISABLED)) order.violate(`return ring ${ring} is not off`);
    }
    const standard = this.#card.get(Reg.StandardRingSize);
    const largest = (standard & 0xffff) >>> 2;
    if (standard >>> 16 !== RING_ENTRIES || facts.from57765 !== largest > 0)
      order.violate("a standard ring of another size");
    return ringAddress(boot.get(Sram.ReturnRing), boot.get(Sram.ReturnRing + 4));
  }
}

function bufferOf(descriptor: DataView): number {
  return ringAddress(descriptor.getUint32(0, true), descriptor.getUint32(4, true));
}
