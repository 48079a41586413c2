import { Frame } from "../card";
import { TcpHeaders } from "../headers";
import { SendFlag } from "./descriptors";
import { Chip } from "./ids";

const ADDRESSES: usize = 12;
const VLAN_TAG: u32 = 4;
const TCP_CHECKSUM: u32 = 16;
/** Bytes of IP and TCP headers that the descriptor has bits for: 5 bits or 8, in units of 4. */
const LONGEST_EARLY: u32 = 124;
const LONGEST_LATE: u32 = 1020;
/** Bits of a segment's size. */
const SIZE_EARLY: u32 = 0x7ff;
const SIZE_LATE: u32 = 0x3fff;

/**
 * The headers of a large TCP segment as the card wants them: no TCP checksum; over IPv4 no header checksum, and the length
 * of a full segment. The card puts a VLAN tag in again.
 */
export class CutHeaders extends TcpHeaders {
  /** Bytes of the copy before the headers, and bytes of headers. */
  skipped: u32 = 0;
  length: u32 = 0;
  /** For every descriptor of the frame. */
  flags: u32 = 0;
  options: u32 = 0;

  constructor(private readonly chip: Chip) {
    super();
  }

  /** Copies the frame's headers, and no more than `room` bytes, to `buffer`; false if they are not what can be cut. */
  prepare(frame: Frame, buffer: usize, room: u32): bool {
    const late = this.chip >= Chip.Bcm57765;
    const size = frame.segmentSize;
    if (size == 0 || size > (late ? SIZE_LATE : SIZE_EARLY) || !this.copy(frame, buffer, room)) return false;
    const headers = this.end - this.ip;
    if (headers & 3 || headers > (late ? LONGEST_LATE : LONGEST_EARLY)) return false;
    if (this.ipv4) {
      store<u16>(buffer + this.ip, bswap<u16>((size + headers) as u16), 2); // total length
      store<u16>(buffer + this.ip, 0, 10); // header checksum
    }
    store<u16>(buffer + this.tcp, 0, TCP_CHECKSUM);
    this.options = late ? size | ((headers & 0xc) << 12) : size | (headers << 9);
    this.options <<= 16;
    this.flags = SendFlag.Cut | (late ? (headers & 0x10) | ((headers & 0x3e0) << 5) : 0);
    this.takeTag(buffer);
    return true;
  }

  /** Takes a VLAN tag out of the headers and into the descriptor. */
  private takeTag(buffer: usize): void {
    this.skipped = this.tagged ? VLAN_TAG : 0;
    this.length = this.end - this.skipped;
    if (!this.tagged) return;
    this.options |= bswap<u16>(load<u16>(buffer, ADDRESSES + 2)) as u32;
    this.flags |= SendFlag.InsertVlanTag;
    memory.copy(buffer + VLAN_TAG, buffer, ADDRESSES);
  }
}
