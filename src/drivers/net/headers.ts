import { physOf } from "../../metal";
import { Frame, Offload } from "./card";

const ETHERNET_HEADER: u32 = 14;
const VLAN_TAG: u32 = 4;
const IPV4_HEADER: u32 = 20;
const IPV6_HEADER: u32 = 40;
const SHORTEST_TCP: u32 = 20;
const LONGEST_TCP: u32 = 60;
const TCP_CHECKSUM: u32 = 16;
/** Ether types as loads of two bytes in network order see them. */
const IPV4_TYPE: u32 = 0x0008;
const IPV6_TYPE: u32 = 0xdd86;
const VLAN_TYPE: u32 = 0x0081;

/** Where the headers of a large TCP segment lie, in a copy of the guest's: a card wants them changed before it cuts. */
export class TcpHeaders {
  /** Whether a VLAN tag stands between the addresses and the type. */
  tagged: bool = false;
  ipv4: bool = false;
  /** Where the IP and TCP headers start, and where the TCP headers end. */
  ip: u32 = 0;
  tcp: u32 = 0;
  end: u32 = 0;

  /** Copies the frame's headers, and no more than `room` bytes, to `buffer`; false if they are not what can be cut. */
  copy(frame: Frame, buffer: usize, room: u32): bool {
    this.tcp = frame.checksumStart;
    if (frame.checksumOffset != TCP_CHECKSUM || this.tcp + LONGEST_TCP > room) return false;
    const copied = min(room as u64, frame.length) as u32;
    if (this.tcp + SHORTEST_TCP >= copied) return false;
    frame.copyTo(physOf(buffer), copied);
    this.end = this.tcp + ((load<u8>(buffer + this.tcp, 12) as u32) >> 4) * 4;
    if (this.end < this.tcp + SHORTEST_TCP || this.end >= copied) return false;
    this.tagged = load<u16>(buffer, 12) == VLAN_TYPE;
    this.ip = ETHERNET_HEADER + (this.tagged ? VLAN_TAG : 0);
    this.ipv4 = (frame.offloads & Offload.Tcp4) != 0;
    const type = load<u16>(buffer + this.ip - 2) as u32;
    return type == (this.ipv4 ? IPV4_TYPE : IPV6_TYPE) && this.tcp >= this.ip + (this.ipv4 ? IPV4_HEADER : IPV6_HEADER);
  }
}
