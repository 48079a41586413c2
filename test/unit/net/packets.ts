// TCP packets with and without their checksums (RFC 791, 793, 2460), for what a card does to them.

export interface PacketOptions {
  readonly version?: 4 | 6;
  readonly payload: number;
  /** Bytes of TCP options, a multiple of 4. */
  readonly options?: number;
  /** With the TCP checksum in place; else it holds the sum of the pseudo-header, as a guest leaves it. */
  readonly complete?: boolean;
}

const ETHERNET = 14;
const TCP = 6;

export interface Packet {
  readonly frame: Uint8Array;
  readonly payload: Uint8Array;
  /** The virtio_net_hdr that asks for its checksum or for cutting. */
  header(ask: { checksum: boolean; segmentSize?: number }): Uint8Array;
}

export function tcpPacket({ version = 4, payload, options = 0, complete = false }: PacketOptions): Packet {
  const ip = version === 4 ? 20 : 40;
  const tcp = ETHERNET + ip;
  const headers = tcp + 20 + options;
  const bytes = new Uint8Array(headers + payload).map((_, i) => (i < headers ? 0 : (i * 13 + (i >> 7)) & 0xff));
  const view = new DataView(bytes.buffer);
  view.setUint16(12, version === 4 ? 0x0800 : 0x86dd);
  if (version === 4) fillIpv4(view, bytes.length - ETHERNET);
  else fillIpv6(view, bytes.length - ETHERNET - ip);
  view.setUint16(tcp, 1234);
  view.setUint16(tcp + 2, 80);
  view.setUint32(tcp + 4, 1000);
  view.setUint16(tcp + 12, ((20 + options) << 10) | 0x18);
  if (options) bytes.fill(1, tcp + 20, headers);
  view.setUint16(tcp + 16, pseudoHeader(bytes));
  if (complete) view.setUint16(tcp + 16, ~sum(bytes, tcp, bytes.length) & 0xffff);
  return {
    frame: bytes,
    payload: bytes.slice(headers),
    header: ({ checksum, segmentSize }) => {
      const header = new Uint8Array(10);
      const fields = new DataView(header.buffer);
      fields.setUint8(0, checksum ? 1 : 0);
      fields.setUint8(1, segmentSize === undefined ? 0 : version === 4 ? 1 : 4);
      fields.setUint16(2, headers, true);
      fields.setUint16(4, segmentSize ?? 0, true);
      fields.setUint16(6, tcp, true);
      fields.setUint16(8, 16, true);
      return header;
    },
  };
}

function fillIpv4(view: DataView, length: number): void {
  view.setUint8(ETHERNET, 0x45);
  view.setUint16(ETHERNET + 2, length);
  view.setUint16(ETHERNET + 6, 0x4000);
  view.setUint8(ETHERNET + 8, 64);
  view.setUint8(ETHERNET + 9, TCP);
  view.setUint32(ETHERNET + 12, 0x0a00_020f);
  view.setUint32(ETHERNET + 16, 0x0a00_0202);
  const bytes = new Uint8Array(view.buffer);
  view.setUint16(ETHERNET + 10, ~sum(bytes, ETHERNET, ETHERNET + 20) & 0xffff);
}

function fillIpv6(view: DataView, length: number): void {
  view.setUint8(ETHERNET, 0x60);
  view.setUint16(ETHERNET + 4, length);
  view.setUint8(ETHERNET + 6, TCP);
  view.setUint8(ETHERNET + 7, 64);
  for (let i = 0; i < 32; i++) view.setUint8(ETHERNET + 8 + i, 0xf0 + (i % 13));
}

function isIpv4(frame: Uint8Array): boolean {
  return frame[ETHERNET]! >> 4 === 4;
}
function tcpStart(frame: Uint8Array): number {
  return ETHERNET + (isIpv4(frame) ? 20 : 40);
}

/** Ones'-complement sum of 16-bit words. */
function sum(bytes: Uint8Array, from: number, to: number, start = 0): number {
  let total = start;
  for (let i = from; i < to; i += 2) total += (bytes[i]! << 8) | (i + 1 < to ? bytes[i + 1]! : 0);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return total;
}

function pseudoHeader(frame: Uint8Array): number {
  const tcp = tcpStart(frame);
  const addresses = isIpv4(frame) ? [ETHERNET + 12, ETHERNET + 20] : [ETHERNET + 8, ETHERNET + 40];
  return sum(frame, addresses[0]!, addresses[1]!, TCP + frame.length - tcp);
}

/** Whether the checksums and lengths of a packet are right. */
export function checksum(frame: Uint8Array): { ip: boolean; tcp: boolean } {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  const tcp = tcpStart(frame);
  const length = isIpv4(frame) ? view.getUint16(ETHERNET + 2) : view.getUint16(ETHERNET + 4) + 40;
  const ip = length === frame.length - ETHERNET && (!isIpv4(frame) || sum(frame, ETHERNET, tcp) === 0xffff);
  return { ip, tcp: sum(frame, tcp, frame.length, pseudoHeader(frame)) === 0xffff };
}

/** The payload of a sequence of segments put together, by their sequence numbers. */
export function segment(frames: readonly Uint8Array[]): number[] {
  return frames.flatMap((frame) => {
    const tcp = tcpStart(frame);
    return [...frame.slice(tcp + (frame[tcp + 12]! >> 4) * 4)];
  });
}
