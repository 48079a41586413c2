import { firmwareCall, physOf } from "../../src/metal";
import { takePages } from "../../src/memory/frames";

/** A page of machine code, written byte by byte and called in the firmware's context: what TypeScript cannot say. */
export class Code {
  private readonly page: usize = takePages(1);
  private length: usize = 0;

  /** Appends up to eight bytes, first byte first as they are read: `bytes(0x0fa2, 2)` is CPUID. */
  bytes(value: u64, count: u32): Code {
    for (let i: i32 = (count as i32) - 1; i >= 0; i--)
      store<u8>(this.page + this.length++, (value >> ((i as u64) << 3)) as u8);
    return this;
  }

  /** Appends a little-endian immediate of 32 bits. */
  immediate(value: u32): Code {
    store<u32>(this.page + this.length, value);
    this.length += 4;
    return this;
  }

  /** And one of 64. */
  address64(value: u64): Code {
    return this.immediate(value as u32).immediate((value >> 32) as u32);
  }

  here(): usize {
    return this.length;
  }

  /** Physical address of its first byte. */
  address(): u64 {
    return physOf(this.page);
  }

  /** Calls it without arguments; returns RAX. */
  call(): u64 {
    return firmwareCall(this.address(), this.page, 0);
  }
}
