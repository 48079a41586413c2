import { Frame } from "../card";
import { TcpHeaders } from "../headers";

/** Most bytes of headers that the card can repeat: HDRLEN has 8 bits. */
const MAXIMUM_HEADERS: u32 = 240;
const TCP_CHECKSUM: u32 = 16;
/** The TCP protocol number as a load of two bytes in network order sees it. */
const TCP_IN_PSEUDO_HEADER: u32 = 0x0600;

/**
 * The headers of a large TCP segment as the card wants them for cutting (82574 datasheet 7.2.9): lengths zero, since it
 * fills them in for each frame, and the checksum field holding the sum of a pseudo-header without its length.
 */
export class SegmentationHeaders extends TcpHeaders {
  /** Copies the frame's headers, and no more than `room` bytes, to `buffer`; false if they are not what can be cut. */
  prepare(frame: Frame, buffer: usize, room: u32): bool {
    if (!this.copy(frame, buffer, room) || this.end > MAXIMUM_HEADERS) return false;
    const header = buffer + this.ip;
    if (this.ipv4) {
      store<u16>(header, 0, 2); // total length
      store<u16>(header, 0, 10); // header checksum
      store<u16>(buffer + this.tcp, pseudoHeaderSum(header + 12, 8), TCP_CHECKSUM);
    } else {
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
