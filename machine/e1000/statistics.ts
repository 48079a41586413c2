// Statistics registers: 8254x manual, 13.7; 82574 data sheet, 10.2.7. Each is cleared by a read; wide ones by their upper half.
import { STATISTICS } from "./registers.ts";

export const Counter = {
  MissedPackets: 0x4010,
  PacketsReceived: 0x4074,
  BroadcastReceived: 0x4078,
  MulticastReceived: 0x407c,
  PacketsSent: 0x4080,
  OctetsReceived: 0x4088,
  OctetsSent: 0x4090,
  NoBuffers: 0x40a0,
  Undersized: 0x40a4,
  Oversized: 0x40ac,
  TotalOctetsReceived: 0x40c0,
  TotalOctetsSent: 0x40c8,
  TotalPacketsReceived: 0x40d0,
  TotalPacketsSent: 0x40d4,
  MulticastSent: 0x40f0,
  BroadcastSent: 0x40f4,
  SegmentedSent: 0x40f8,
} as const;

const WIDE: readonly number[] = [
  Counter.OctetsReceived,
  Counter.OctetsSent,
  Counter.TotalOctetsReceived,
  Counter.TotalOctetsSent,
];
const FCS = 4;

export class Statistics {
  readonly #counters = new Map<number, number>();

  count(counter: number, amount = 1): void {
    this.#counters.set(counter, (this.#counters.get(counter) ?? 0) + amount);
  }

  received(frame: Uint8Array): void {
    this.count(Counter.PacketsReceived);
    this.count(Counter.OctetsReceived, frame.length + FCS);
    if (isBroadcast(frame)) this.count(Counter.BroadcastReceived);
    else if (isMulticast(frame)) this.count(Counter.MulticastReceived);
  }

  sent(frame: Uint8Array): void {
    this.count(Counter.PacketsSent);
    this.count(Counter.TotalPacketsSent);
    this.count(Counter.OctetsSent, frame.length + FCS);
    this.count(Counter.TotalOctetsSent, frame.length + FCS);
    if (isBroadcast(frame)) this.count(Counter.BroadcastSent);
    else if (isMulticast(frame)) this.count(Counter.MulticastSent);
  }

  covers(offset: number): boolean {
    return offset >= STATISTICS.first && offset <= STATISTICS.last;
  }

  read(offset: number): number {
    const upper = WIDE.includes(offset - 4);
    const counter = upper ? offset - 4 : offset;
    const value = this.#counters.get(counter) ?? 0;
    if (!WIDE.includes(offset)) this.#counters.delete(counter);
    if (upper) return Math.floor(value / 2 ** 32);
    return WIDE.includes(offset) ? value % 2 ** 32 : Math.min(value, 0xffff_ffff);
  }

  clear(): void {
    this.#counters.clear();
  }
}

export function isBroadcast(frame: Uint8Array): boolean {
  return frame.subarray(0, 6).every((byte) => byte === 0xff);
}

export function isMulticast(frame: Uint8Array): boolean {
  return (frame[0]! & 1) === 1;
}
