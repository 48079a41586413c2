import { NetworkCard } from "../card";
import { ReceiveFilter } from "./filter";
import { MTU, NetConfig } from "./layout";

const MAC_LENGTH: u32 = 6;

/** The device's own fields: MAC address, status, MTU (appendix C; 1.2: 5.1.4). */
export class NetFields {
  private count: u32 = 0;
  private link: bool = false;

  constructor(
    private readonly card: NetworkCard,
    private readonly filter: ReceiveFilter,
  ) {}

  /** What a read of 1, 2, 4 or 8 bytes at an offset gives. */
  read(offset: u32, width: u32): u64 {
    let value: u64 = 0;
    for (let i: u32 = 0; i < width; i++) value |= (this.byte(offset + i) as u64) << ((i << 3) as u64);
    return value;
  }

  /** Another number whenever the fields may read differently (1.2: 2.5). */
  generation(): u32 {
    const link = this.card.linkUp();
    if (link != this.link) this.count = (this.count + 1) & 0xff;
    this.link = link;
    return this.count;
  }

  private byte(offset: u32): u32 {
    if (offset < MAC_LENGTH) return ((this.filter.mac >> ((offset << 3) as u64)) as u32) & 0xff;
    if (offset == NetConfig.Status) return this.card.linkUp() ? 1 : 0;
    if (offset == NetConfig.Mtu || offset == NetConfig.Mtu + 1) return (MTU >> ((offset - NetConfig.Mtu) << 3)) & 0xff;
    return 0;
  }
}
