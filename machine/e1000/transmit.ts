// Transmitting: 8254x manual, 3.3 to 3.5; 82574 data sheet, 7.2. Legacy, context and data descriptors, one queue.
import { DelayedInterrupt } from "./delay.ts";
import { put16 } from "../net/frames.ts";
import { type Context, insertChecksum, insertChecksums, segment } from "../net/offload.ts";
import { parseContext } from "./context.ts";
import { Icr, Reg, Tctl, TxCommand } from "./registers.ts";
import type { CardState } from "./state.ts";
import { Counter } from "./statistics.ts";
import { MINIMUM } from "../net/wire.ts";

const DESCRIPTOR = 16;
const MAXIMUM = 16288;
/** The largest packet that the 20-bit payload length of a context descriptor and its header allow. */
const MAXIMUM_SEGMENTED = 0x10_0000 + 256;
const TYPE_CONTEXT = 0;
const DONE = 1;

/** A packet between its first descriptor and the one with EOP. */
interface Packet {
  readonly pieces: Uint8Array[];
  length: number;
  readonly segmented: boolean;
  readonly ipChecksum: boolean;
  readonly tcpChecksum: boolean;
}

export class Transmitter {
  /** While true, descriptors are left alone: the wire is busy. */
  paused = false;
  readonly #card: CardState;
  #context: Context = parseContext(new DataView(new ArrayBuffer(DESCRIPTOR)));
  #packet: Packet | undefined;
  readonly #delayed: DelayedInterrupt;
  readonly #sent: (pushedOut: boolean) => void;

  /** `sent` is told of descriptors carried out, and whether the last one ended nothing. */
  constructor(card: CardState, sent: (pushedOut: boolean) => void) {
    this.#card = card;
    this.#sent = sent;
    this.#delayed = new DelayedInterrupt(card, Icr.Txdw | Icr.Txq0, Reg.TIDV, Reg.TADV);
  }

  reset(): void {
    this.#packet = undefined;
    this.#delayed.cancel();
  }

  /** Carries out the descriptors from head up to tail. */
  run(): void {
    const { registers, interrupts } = this.#card;
    const count = registers.get(Reg.TDLEN) / DESCRIPTOR;
    const start = registers.get(Reg.TDH);
    if (this.paused || !(registers.get(Reg.TCTL) & Tctl.Enable)) return;
    for (let steps = 0; steps < count; steps++) {
      const head = registers.get(Reg.TDH);
      if (head === registers.get(Reg.TDT) || head >= count) break;
      this.#carryOut(registers.get64(Reg.TDBAL) + head * DESCRIPTOR);
      registers.set(Reg.TDH, (head + 1) % count);
    }
    const head = registers.get(Reg.TDH);
    if (head !== start) this.#sent(this.#packet !== undefined);
    if (head !== start && head === registers.get(Reg.TDT)) interrupts.raise(Icr.Txqe);
  }

  #carryOut(address: number): void {
    const bytes = this.#card.pci.dmaRead(address, DESCRIPTOR);
    const descriptor = new DataView(bytes.buffer, bytes.byteOffset, DESCRIPTOR);
    const command = descriptor.getUint8(11);
    const extended = (command & TxCommand.Extension) !== 0;
    const type = (descriptor.getUint8(10) >> 4) & 15;
    if (extended && type === TYPE_CONTEXT) this.#context = parseContext(descriptor);
    else if (extended) this.#data(descriptor, command);
    else this.#legacy(descriptor, command);
    if (command & TxCommand.ReportStatus) this.#report(address, descriptor, command);
  }

  #legacy(descriptor: DataView, command: number): void {
    this.#packet ??= newPacket(false, false, false);
    this.#gather(Number(descriptor.getBigUint64(0, true)), descriptor.getUint16(8, true));
    if (!(command & TxCommand.EndOfPacket)) return;
    const frame = this.#finish();
    if (command & TxCommand.InsertChecksum) {
      insertChecksum(frame, descriptor.getUint8(13), descriptor.getUint8(10), 0);
    }
    this.#send(this.#tagged(frame, descriptor, command), command);
  }

  #data(descriptor: DataView, command: number): void {
    const options = descriptor.getUint8(13);
    this.#packet ??= newPacket((command & TxCommand.SegmentTcp) !== 0, (options & 1) !== 0, (options & 2) !== 0);
    const { segmented, ipChecksum, tcpChecksum } = this.#packet;
    this.#gather(Number(descriptor.getBigUint64(0, true)), descriptor.getUint32(8, true) & 0xf_ffff);
    if (!(command & TxCommand.EndOfPacket)) return;
    const packet = this.#finish();
    if (segmented) {
      this.#card.statistics.count(Counter.SegmentedSent);
      for (const frame of segment(packet, this.#context, ipChecksum, tcpChecksum)) {
        this.#send(this.#tagged(frame, descriptor, command), command);
      }
      return;
    }
    insertChecksums(packet, this.#context, ipChecksum, tcpChecksum);
    this.#send(this.#tagged(packet, descriptor, command), command);
  }

  #gather(address: number, length: number): void {
    const packet = this.#packet!;
    packet.length += length;
    if (packet.length <= (packet.segmented ? MAXIMUM_SEGMENTED : MAXIMUM)) {
      packet.pieces.push(this.#card.pci.dmaRead(address, length));
    }
  }

  #finish(): Uint8Array {
    const { pieces } = this.#packet!;
    this.#packet = undefined;
    const frame = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, 0));
    let at = 0;
    for (const piece of pieces) {
      frame.set(piece, at);
      at += piece.length;
    }
    return frame;
  }

  #tagged(frame: Uint8Array, descriptor: DataView, command: number): Uint8Array {
    if (!(command & TxCommand.InsertVlan) || frame.length < 12) return frame;
    const tag = new Uint8Array(4);
    put16(tag, 0, 0x8100);
    put16(tag, 2, descriptor.getUint16(14, true));
    return Uint8Array.of(...frame.subarray(0, 12), ...tag, ...frame.subarray(12));
  }

  /** Without IFCS the packet brought its own FCS, which the wire does not show. */
  #send(frame: Uint8Array, command: number): void {
    const { registers, statistics, wire } = this.#card;
    const body = command & TxCommand.InsertFcs ? frame : frame.subarray(0, -4);
    if (body.length === 0) return;
    const pad = (registers.get(Reg.TCTL) & Tctl.PadShort) !== 0 && body.length < MINIMUM;
    const sent = new Uint8Array(pad ? MINIMUM : body.length);
    sent.set(body);
    statistics.sent(sent);
    wire.fromCard(sent);
  }

  #report(address: number, descriptor: DataView, command: number): void {
    const { pci, faults } = this.#card;
    if (!faults.dropTransmitWriteBack) pci.dmaWrite(address + 12, [descriptor.getUint8(12) | DONE]);
    this.#delayed.request((command & TxCommand.InterruptDelay) !== 0);
  }
}

function newPacket(segmented: boolean, ipChecksum: boolean, tcpChecksum: boolean): Packet {
  return { pieces: [], length: 0, segmented, ipChecksum, tcpChecksum };
}
