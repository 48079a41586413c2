// What the card sees of the headers in a frame: IPv4 and IPv6 without extensions, TCP and UDP.
import { get16, sum } from "../net/frames.ts";

const [TCP, UDP] = [6, 17];
const Type = { Ipv4: 0x0800, Ipv6: 0x86dd } as const;

/** Where the headers begin, and the sum of the pseudo header without its length. */
export interface Headers {
  readonly ipv4: boolean;
  readonly ip: number;
  readonly transport: number;
  readonly protocol: number;
  /** Bytes of the transport header and what follows. */
  readonly length: number;
  readonly pseudo: number;
}

export function parse(frame: Uint8Array): Headers | undefined {
  const type = get16(frame, 12);
  const ip = 14;
  if (type === Type.Ipv4) {
    const header = (frame[ip]! & 15) * 4;
    const length = get16(frame, ip + 2) - header;
    const fragment = (get16(frame, ip + 6) & 0x3fff) !== 0;
    const protocol = frame[ip + 9]!;
    if (fragment || (protocol !== TCP && protocol !== UDP)) return undefined;
    return { ipv4: true, ip, transport: ip + header, protocol, length, pseudo: sum(frame, ip + 12, ip + 20, protocol) };
  }
  const protocol = frame[ip + 6]!;
  if (type !== Type.Ipv6 || (protocol !== TCP && protocol !== UDP)) return undefined;
  const pseudo = sum(frame, ip + 8, ip + 40, protocol);
  return { ipv4: false, ip, transport: ip + 40, protocol, length: get16(frame, ip + 4), pseudo };
}

/** Place of the checksum in a transport header. */
export function checksumOffset(protocol: number): number {
  return protocol === TCP ? 16 : 6;
}

/** What the card reports of a frame received; a sum of 0xffff is right. */
export function checkTransport(
  frame: Uint8Array,
  ipv6: boolean,
): { ip: boolean; transport: boolean; ipSum: number; transportSum: number } {
  const none = { ip: false, transport: false, ipSum: 0, transportSum: 0 };
  const headers = parse(frame);
  if (!headers || (!headers.ipv4 && !ipv6)) return none;
  const { ipv4, ip, transport, length, pseudo } = headers;
  if (length < 8 || transport + length > frame.length) return none;
  const transportSum = sum(frame, transport, transport + length, pseudo + length);
  return { ip: ipv4, transport: true, ipSum: ipv4 ? sum(frame, ip, transport) : 0, transportSum };
}
