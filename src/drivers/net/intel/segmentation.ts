import { physOf } from "../../../metal";
import { Frame, Offload } from "../card";

/** Most bytes of headers that the card can repeat: HDRLEN has 8 bits. */
const MAXIMUM_HEADERS: u32 = 240;
const ETHERNET_HEADER: u32 = 14;
const VLAN_TAG: u32 = 4;
const TCP_CHECKSUM: u32 = 16;
/** Ether types and the TCP protocol number as loads of two bytes in network order see them. */
const IPV4_TYPE: u32 = 0x0008;
const IPV6_TYPE: u32 = 0xdd86;
const VLAN_TYPE: u32 = 0x0081;
const TCP_IN_PSEUDO_HEADER: u32 = 0x0600;

/**
 * The headers of a large TCP segment, copied out of the guest's memory and changed as the card wants them for cutting
 * (82574 datasheet 7.2.9): lengths zero, since it fills them in for each frame, and the checksum field holding the sum
 * of a pseudo-header without its length.
 */
export class SegmentationHeaders {
  /** Where the IP and TCP headers start, and where the TCP headers end. */
  ip: u32 = 0;
  tcp: u32 = 0;
  end: u32 = 0;

  /** Copies the frame's headers, and no more than `room` bytes, to `buffer`; false if they are not what can be cut. */
  prepare(frame: Frame, buffer: usize, room: u32): bool {
    this.tcp = frame.checksumStart;
    if (frame.checksumOffset != TCP_CHECKSUM || this.tcp > MAXIMUM_HEADERS - 60) return false;
    const copied = min(room as u64, frame.length) as u32;
    if (this.tcp + 20 >= copied) return false;
    frame.copyTo(physOf(buffer), copied);
    this.end = this.tcp + ((load<u8>(buffer + this.tcp, 12) as u32) >> 4) * 4;
    if (this.end < this.tcp + 20 || this.end >= copied) return false;
    return this.prepareIp(frame, buffer);
  }

  private prepareIp(frame: Frame, buffer: usize): bool {
    const tagged = load<u16>(buffer, 12) == VLAN_TYPE;
    this.ip = ETHERNET_HEADER + (tagged ? VLAN_TAG : 0);
    const type = load<u16>(buffer + this.ip - 2) as u32;
    const header = buffer + this.ip;
    if (frame.offloads & Offload.Tcp4) {
      if (type != IPV4_TYPE || this.tcp < this.ip + 20) return false;
      store<u16>(header, 0, 2); // total length
      store<u16>(header, 0, 10); // header checksum
      store<u16>(buffer + this.tcp, pseudoHeaderSum(header + 12, 8), TCP_CHECKSUM);
    } else {
      if (type != IPV6_TYPE || this.tcp < this.ip + 40) return false;
      store<u16>(header, 0, 4); // payload length
      store<u16>(buffer + this.tcp, pseudoHeaderSum(header + 8, 32), TCP_CHECKSUM);
    }
    return true;
  }
}

/** Sum of two addresses and the protocol, folded to 16 bits (RFC 1071: the order of bytes does not matter). */
function pseudoHeaderSum(addresses: usize, length: usize): u16 {
  let sum = TCP_IN_PSEUDO_HEADER;
  for (let i: usize = 0; i < length; i += 2) sum += load<u16>(addresses + i) as u32;
  sum = (sum & 0xffff) + (sum >> 16);
  return ((sum & 0xffff) + (sum >> 16)) as u16;
}
