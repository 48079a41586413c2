// What the card computes over frames: checksums (RFC 1071) and the frame check sequence (IEEE 802.3, 3.2.9).

/** Ones' complement sum of big-endian 16-bit words, folded. */
export function sum(bytes: Uint8Array, from = 0, to = bytes.length, start = 0): number {
  let total = start;
  for (let i = from; i < to; i += 2) total += (bytes[i]! << 8) | (i + 1 < to ? bytes[i + 1]! : 0);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return total;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb8_8320 : crc >>> 1;
  return crc;
});

/** CRC-32 as Ethernet, UEFI tables and ZIP use it. */
export function crc32(bytes: ArrayLike<number>): number {
  let crc = 0xffff_ffff;
  for (let i = 0; i < bytes.length; i++) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ bytes[i]!) & 0xff]!;
  return ~crc >>> 0;
}

export function get16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

export function put16(bytes: Uint8Array, at: number, value: number): void {
  if (at + 1 >= bytes.length) return;
  bytes[at] = (value >> 8) & 0xff;
  bytes[at + 1] = value & 0xff;
}

/** Which checksums of a received frame the card looked at, and which were wrong. */
export interface ChecksumReport {
  readonly ip: boolean;
  readonly transport: boolean;
  readonly ipBad: boolean;
  readonly transportBad: boolean;
}

const ETHERTYPE_IPV4 = 0x0800;
const TCP = 6;
const UDP = 17;

/** Checks IPv4 and, if the packet is not a fragment, TCP or UDP. */
export function checkIpv4(frame: Uint8Array): ChecksumReport {
  const none = { ip: false, transport: false, ipBad: false, transportBad: false };
  const header = (frame[14]! & 15) * 4;
  const total = get16(frame, 16);
  const plausible = frame[14]! >> 4 === 4 && header >= 20 && total >= header && 14 + total <= frame.length;
  if (frame.length < 34 || get16(frame, 12) !== ETHERTYPE_IPV4 || !plausible) return none;
  const ipBad = sum(frame, 14, 14 + header) !== 0xffff;
  const protocol = frame[23]!;
  const fragment = (get16(frame, 20) & 0x3fff) !== 0;
  const absent = protocol === UDP && get16(frame, 14 + header + 6) === 0;
  if (fragment || absent || (protocol !== TCP && protocol !== UDP)) return { ...none, ip: true, ipBad };
  const pseudo = sum(frame, 26, 34, protocol + total - header);
  const transportBad = sum(frame, 14 + header, 14 + total, pseudo) !== 0xffff;
  return { ip: true, transport: true, ipBad, transportBad };
}
