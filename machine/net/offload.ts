// What cards do to a packet before they send it: checksum insertion and TCP segmentation.
import { get16, put16, sum } from "./frames.ts";

/** Where headers lie and how to cut. */
export interface Context {
  readonly ipStart: number;
  readonly ipOffset: number;
  readonly ipEnd: number;
  readonly tcpStart: number;
  readonly tcpOffset: number;
  readonly tcpEnd: number;
  readonly payloadLength: number;
  readonly headerLength: number;
  readonly segmentSize: number;
  readonly tcp: boolean;
  readonly ipv4: boolean;
}

/** Replaces the word at `offset` by the checksum of the bytes from `start` up to and including `end` (0: to the end). */
export function insertChecksum(frame: Uint8Array, start: number, offset: number, end: number): void {
  if (start >= frame.length) return;
  put16(frame, offset, ~sum(frame, start, end === 0 ? frame.length : Math.min(end + 1, frame.length)) & 0xffff);
}

export function insertChecksums(frame: Uint8Array, context: Context, ip: boolean, transport: boolean): void {
  if (ip) insertChecksum(frame, context.ipStart, context.ipOffset, context.ipEnd);
  if (transport) insertChecksum(frame, context.tcpStart, context.tcpOffset, context.tcpEnd);
}

const TCP_FIN_PSH = 0x09;

/** Cuts a packet into segments, each with the headers brought up to date. */
export function segment(packet: Uint8Array, context: Context, ip: boolean, transport: boolean): Uint8Array[] {
  const { headerLength, segmentSize } = context;
  if (segmentSize === 0 || headerLength === 0 || headerLength > packet.length) return [];
  const header = packet.subarray(0, headerLength);
  const payload = packet.subarray(headerLength);
  const frames: Uint8Array[] = [];
  for (let at = 0; at < payload.length; at += segmentSize) {
    const piece = payload.subarray(at, at + segmentSize);
    const frame = Uint8Array.of(...header, ...piece);
    updateHeaders(frame, context, frames.length, at, at + piece.length >= payload.length);
    insertChecksums(frame, context, ip, transport);
    frames.push(frame);
  }
  return frames;
}

function updateHeaders(frame: Uint8Array, context: Context, index: number, at: number, last: boolean): void {
  const { ipStart, tcpStart, tcpOffset } = context;
  if (context.ipv4) {
    put16(frame, ipStart + 2, frame.length - ipStart);
    put16(frame, ipStart + 4, (get16(frame, ipStart + 4) + index) & 0xffff);
    put16(frame, context.ipOffset, 0);
  } else put16(frame, ipStart + 4, frame.length - ipStart - 40);
  const length = frame.length - tcpStart;
  if (context.tcp) {
    const sequence = ((get16(frame, tcpStart + 4) << 16) | get16(frame, tcpStart + 6)) + at;
    put16(frame, tcpStart + 4, sequence >>> 16);
    put16(frame, tcpStart + 6, sequence & 0xffff);
    if (!last) frame[tcpStart + 13]! &= ~TCP_FIN_PSH;
  } else put16(frame, tcpStart + 4, length);
  // The driver left the sum of the pseudo header without the length; the card adds it.
  put16(frame, tcpOffset, sum(frame, tcpOffset, tcpOffset + 2, length));
}
