// Receiving: 8254x manual, 3.2; 82574 data sheet, 7.1. Both descriptor formats, one queue, frames over several buffers.
import { DelayedInterrupt } from "./delay.ts";
import { accepts } from "./filter.ts";
import { checkIpv4, crc32, get16, sum } from "../net/frames.ts";
import { Ctrl, Icr, Rctl, Reg, RFCTL_EXTENDED_STATUS, Rxcsum, RxError, RxStatus } from "./registers.ts";
import type { CardState } from "./state.ts";
import { Counter } from "./statistics.ts";

const DESCRIPTOR = 16;
const FCS = 4;
const MAXIMUM = 1518;
const MAXIMUM_LONG = 16384;
const TAG = 4;
const SMALLEST = 60;

/** What the write-back of a frame's descriptors says about it. */
interface Verdict {
  readonly status: number;
  readonly errors: number;
  readonly checksum: number;
  readonly vlan: number;
}

export class Receiver {
  readonly #card: CardState;
  readonly #delayed: DelayedInterrupt;

  constructor(card: CardState) {
    this.#card = card;
    this.#delayed = new DelayedInterrupt(card, Icr.Rxt0 | Icr.Rxq0, Reg.RDTR, Reg.RADV);
  }

  reset(): void {
    this.#delayed.cancel();
  }

  /** A frame without FCS arrives; false if the card does not take it. */
  receive(frame: Uint8Array): boolean {
    const { registers, statistics } = this.#card;
    const rctl = registers.get(Reg.RCTL);
    if (!(rctl & Rctl.Enable)) return false;
    statistics.count(Counter.TotalPacketsReceived);
    statistics.count(Counter.TotalOctetsReceived, frame.length + FCS);
    if (!this.#fits(frame) || !accepts(registers, frame)) return false;
    const tagged = (registers.get(Reg.CTRL) & Ctrl.VlanMode) !== 0 && get16(frame, 12) === 0x8100;
    const body = tagged ? withoutTag(frame) : frame;
    const buffers = this.#split(body);
    if (buffers.length > this.#free()) {
      this.#overrun();
      return false;
    }
    statistics.received(frame);
    this.#store(buffers, this.#judge(body, tagged ? get16(frame, 14) : undefined));
    this.#interrupt();
    return true;
  }

  /** RDTR.FPD: the delay timer expires now. */
  flush(): void {
    this.#delayed.flush();
  }

  #fits(frame: Uint8Array): boolean {
    const { registers, statistics } = this.#card;
    const rctl = registers.get(Reg.RCTL);
    const tag = get16(frame, 12) === 0x8100 ? TAG : 0;
    const limit = rctl & Rctl.LongPackets ? MAXIMUM_LONG : MAXIMUM + tag;
    if (frame.length + FCS > limit) statistics.count(Counter.Oversized);
    else if (frame.length < SMALLEST) statistics.count(Counter.Undersized);
    else return true;
    return (rctl & Rctl.StoreBad) !== 0 && frame.length >= SMALLEST && frame.length + FCS <= MAXIMUM_LONG;
  }

  #bufferSize(): number {
    const rctl = this.#card.registers.get(Reg.RCTL);
    const flexible = (rctl >>> 27) & 15;
    if (flexible) return flexible * 1024;
    return (2048 >> ((rctl >>> 16) & 3)) * (rctl & Rctl.BufferSizeExtension ? 16 : 1);
  }

  /** The pieces of a frame, one for each descriptor. */
  #split(frame: Uint8Array): Uint8Array[] {
    const size = this.#bufferSize();
    const strip = (this.#card.registers.get(Reg.RCTL) & Rctl.StripCrc) !== 0;
    const fcs = new Uint8Array(FCS);
    new DataView(fcs.buffer).setUint32(0, crc32(frame), true);
    if (!strip && this.#card.faults.splitFcs) return [...slices(frame, size), fcs];
    return slices(strip ? frame : Uint8Array.of(...frame, ...fcs), size);
  }

  #count(): number {
    return this.#card.registers.get(Reg.RDLEN) / DESCRIPTOR;
  }

  /** Descriptors that the card owns: from head up to, not including, tail. */
  #free(): number {
    const { registers } = this.#card;
    const count = this.#count();
    const head = registers.get(Reg.RDH);
    const tail = registers.get(Reg.RDT);
    if (count === 0 || head >= count || tail >= count) return 0;
    return (tail - head + count) % count;
  }

  #overrun(): void {
    this.#card.statistics.count(Counter.MissedPackets);
    this.#card.statistics.count(Counter.NoBuffers);
    this.#card.interrupts.raise(Icr.Rxo);
  }

  #judge(frame: Uint8Array, vlan: number | undefined): Verdict {
    const rxcsum = this.#card.registers.get(Reg.RXCSUM);
    const report = checkIpv4(frame);
    const ip = report.ip && (rxcsum & Rxcsum.IpOffload) !== 0;
    const transport = report.transport && (rxcsum & Rxcsum.TcpOffload) !== 0;
    const status =
      (ip ? RxStatus.Ip : 0) |
      (transport ? RxStatus.Tcp : 0) |
      (ip || transport ? 0 : RxStatus.IgnoreChecksum) |
      (vlan === undefined ? 0 : RxStatus.Vlan);
    const errors = (ip && report.ipBad ? RxError.Ip : 0) | (transport && report.transportBad ? RxError.Tcp : 0);
    const start = rxcsum & 0xff;
    return { status, errors, checksum: ~sum(frame, start) & 0xffff, vlan: vlan ?? 0 };
  }

  #store(buffers: readonly Uint8Array[], verdict: Verdict): void {
    const { registers, pci, faults } = this.#card;
    for (const [index, buffer] of buffers.entries()) {
      const head = registers.get(Reg.RDH);
      const descriptor = registers.get64(Reg.RDBAL) + head * DESCRIPTOR;
      const address = Number(view(pci.dmaRead(descriptor, 8)).getBigUint64(0, true));
      pci.dmaWrite(address, buffer);
      const last = index === buffers.length - 1;
      if (!faults.dropReceiveWriteBack) this.#writeBack(descriptor, buffer.length, last, verdict);
      registers.set(Reg.RDH, (head + 1) % this.#count());
    }
  }

  #writeBack(descriptor: number, length: number, last: boolean, verdict: Verdict): void {
    const { registers, pci, faults } = this.#card;
    const extended = (registers.get(Reg.RFCTL) & RFCTL_EXTENDED_STATUS) !== 0;
    const about = last ? RxStatus.EndOfPacket | verdict.status : 0;
    const status = ((RxStatus.Done | about) & ~faults.receiveStatusClear) | faults.receiveStatusSet;
    const errors = last ? verdict.errors | faults.receiveErrors : 0;
    const bytes = new Uint8Array(DESCRIPTOR);
    const out = view(bytes);
    const shown = faults.receiveLength ?? length;
    if (extended) {
      out.setUint16(6, last ? verdict.checksum : 0, true);
      out.setUint32(8, (status & 0xfffff) | (errors << 24), true);
      out.setUint16(12, shown, true);
      out.setUint16(14, last ? verdict.vlan : 0, true);
      pci.dmaWrite(descriptor, bytes);
      return;
    }
    out.setUint16(8, shown, true);
    out.setUint16(10, last ? verdict.checksum : 0, true);
    out.setUint8(12, status);
    out.setUint8(13, errors);
    out.setUint16(14, last ? verdict.vlan : 0, true);
    pci.dmaWrite(descriptor + 8, bytes.subarray(8));
  }

  /** RXT0 at once or after RDTR, at the latest after RADV; RXDMT0 when few descriptors are left. */
  #interrupt(): void {
    const { registers, interrupts } = this.#card;
    const threshold = this.#count() >> (1 + ((registers.get(Reg.RCTL) >>> 8) & 3));
    if (this.#free() <= threshold) interrupts.raise(Icr.Rxdmt0);
    this.#delayed.request();
  }
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function slices(bytes: Uint8Array, size: number): Uint8Array[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
}

function withoutTag(frame: Uint8Array): Uint8Array {
  return Uint8Array.of(...frame.subarray(0, 12), ...frame.subarray(16));
}
