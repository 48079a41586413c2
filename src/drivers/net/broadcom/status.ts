import { devicePages } from "../../../memory/device-pages";
import { physOf, physRead32, physWrite64 } from "../../../metal";

// The status block, which the card writes (words of the host, as ModeControl has them swapped):
//       31              16 15               0
//   0x0 |                       error link updated |
//   0x4 |                          tag     |
//   0x8 | standard consumer |    reserved   |
//   0x10|  send consumer    | return producer |
const enum Word {
  Status = 0x00,
  Tag = 0x04,
  Indices = 0x10,
}
const LINK: u32 = 1 << 1;
const SIZE: u64 = 32;

/** What the card last told. Nothing in it is to be believed before it is checked. */
export class StatusBlock {
  readonly address: u64 = physOf(devicePages.take(1));

  /** As it must be before the card writes it for the first time. */
  clear(): void {
    for (let at: u64 = 0; at < SIZE; at += 8) physWrite64(this.address + at, 0);
  }

  get tag(): u32 {
    return physRead32(this.address + Word.Tag) & 0xff;
  }
  get linkChanged(): bool {
    return (physRead32(this.address + Word.Status) & LINK) != 0;
  }
  get sendConsumer(): u32 {
    return physRead32(this.address + Word.Indices) >> 16;
  }
  get returnProducer(): u32 {
    return physRead32(this.address + Word.Indices) & 0xffff;
  }
}
