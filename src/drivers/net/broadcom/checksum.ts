import { physRead8 } from "../../../metal";
import { Frame } from "../card";

const ETHERNET_HEADER: u32 = 14;
const IPV4: u32 = 0x0800;
const IPV6: u32 = 0x86dd;
const IPV4_HEADER: u32 = 20;
const IPV6_HEADER: u32 = 40;
const FRAGMENT: u32 = 0x3fff;
const TCP: u32 = 6;
const UDP: u32 = 17;
const TCP_CHECKSUM: u32 = 16;
const UDP_CHECKSUM: u32 = 6;

/** Bytes of headers that are looked at. */
export const LOOKED_AT: u32 = ETHERNET_HEADER + IPV6_HEADER;

/**
 * Whether the card finds by itself the checksum that it is asked for: of TCP or UDP right after an IP header without
 * options or extensions, over the whole frame. `headers` are the first LOOKED_AT bytes of the frame.
 */
export function cardFindsChecksum(frame: Frame, headers: usize): bool {
  const type = word(headers + 12);
  const ip = headers + (ETHERNET_HEADER as usize);
  let protocol: u32 = 0;
  let start: u32 = 0;
  if (type == IPV4) {
    protocol = load<u8>(ip, 9);
    start = load<u8>(ip) == 0x45 && !(word(ip + 6) & FRAGMENT) ? ETHERNET_HEADER + IPV4_HEADER : 0;
    if (((ETHERNET_HEADER + word(ip + 2)) as u64) != frame.length) return false;
  } else if (type == IPV6) {
    protocol = load<u8>(ip, 6);
    start = ETHERNET_HEADER + IPV6_HEADER;
    if (((start + word(ip + 4)) as u64) != frame.length) return false;
  }
  const place = protocol == TCP ? TCP_CHECKSUM : protocol == UDP ? UDP_CHECKSUM : 0;
  return start != 0 && place != 0 && frame.checksumStart == start && frame.checksumOffset == place;
}

/**
 * The checksum from `checksumStart` to the end, which the sum of a pseudo header in its place belongs to (RFC 1071), in
 * network order.
 */
export function checksumOf(frame: Frame): u16 {
  let sum: u32 = 0;
  let at: u32 = 0;
  const start = frame.checksumStart;
  for (let i: u32 = 0, count = frame.count; i < count; i++) {
    const address = frame.address(i);
    const length = frame.lengthOf(i);
    for (let j: u32 = 0; j < length; j++, at++) {
      if (at >= start) sum += physRead8(address + (j as u64)) << ((at - start) & 1 ? 0 : 8);
    }
  }
  sum = (sum & 0xffff) + (sum >> 16);
  const checksum = ~((sum & 0xffff) + (sum >> 16)) as u16;
  return checksum ? bswap<u16>(checksum) : 0xffff; // of UDP, 0 would say that there is none
}

/** Two bytes in network order. */
function word(at: usize): u32 {
  return ((load<u8>(at) as u32) << 8) | (load<u8>(at, 1) as u32);
}
