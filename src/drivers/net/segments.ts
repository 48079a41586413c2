import { physCopy } from "../../metal";

/** Most pieces that a frame may lie in; Linux uses 19 at most, FreeBSD 64. */
export const MAXIMUM_SEGMENTS: u32 = 64;

/** A list of pieces of physical memory, used in their order. Made once and filled again for each frame. */
export class SegmentList {
  /** Pieces from `first` to before `end` are left. */
  private first: u32 = 0;
  private end: u32 = 0;
  /** Bytes in all pieces that are left. */
  length: u64 = 0;
  /** Whether a piece found no room. */
  truncated: bool = false;
  private readonly addresses: StaticArray<u64> = new StaticArray<u64>(MAXIMUM_SEGMENTS);
  private readonly lengths: StaticArray<u32> = new StaticArray<u32>(MAXIMUM_SEGMENTS);

  get count(): u32 {
    return this.end - this.first;
  }
  address(index: u32): u64 {
    return unchecked(this.addresses[this.first + index]);
  }
  lengthOf(index: u32): u32 {
    return unchecked(this.lengths[this.first + index]);
  }

  clear(): void {
    this.first = this.end = 0;
    this.length = 0;
    this.truncated = false;
  }

  add(address: u64, length: u32): void {
    if (this.end == MAXIMUM_SEGMENTS) {
      this.truncated = true;
      return;
    }
    unchecked((this.addresses[this.end] = address));
    unchecked((this.lengths[this.end] = length));
    this.end++;
    this.length += length as u64;
  }

  /** Takes `bytes` off the front; the list holds as many. */
  drop(bytes: u32): void {
    this.length -= bytes as u64;
    for (let left = bytes; left;) left -= this.shorten(left);
  }

  /** Copies the first `bytes` to one place and leaves the list as it is; the list holds as many. */
  copyTo(to: u64, bytes: u32): void {
    let left = bytes;
    for (let i = this.first; left; i++) {
      const piece = min(left, unchecked(this.lengths[i]));
      physCopy(to, unchecked(this.addresses[i]), piece as u64);
      to += piece as u64;
      left -= piece;
    }
  }

  /** Copies `bytes` from one place to the front and takes that off; the list holds as many. */
  fill(from: u64, bytes: u32): void {
    this.length -= bytes as u64;
    for (let left = bytes; left;) {
      const to = unchecked(this.addresses[this.first]);
      const piece = this.shorten(left);
      physCopy(to, from, piece as u64);
      from += piece as u64;
      left -= piece;
    }
  }

  /** Copies `bytes` from the front of another list to the front, and takes them off both; both hold as many. */
  move(source: SegmentList, bytes: u32): void {
    for (let left = bytes; left;) {
      const from = source.address(0);
      const piece = min(left, source.lengthOf(0));
      this.fill(from, piece);
      source.drop(piece);
      left -= piece;
    }
  }

  /** Takes up to `bytes` off the first piece; returns how many. */
  private shorten(bytes: u32): u32 {
    const index = this.first;
    const length = unchecked(this.lengths[index]);
    if (bytes >= length) {
      this.first++;
      return length;
    }
    unchecked((this.addresses[index] += bytes as u64));
    unchecked((this.lengths[index] = length - bytes));
    return bytes;
  }
}
