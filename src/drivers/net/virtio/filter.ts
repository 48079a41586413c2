import { physOf } from "../../../metal";
import { Frame } from "../card";

const MAC_LENGTH: u32 = 6;
/** Address in a MAC table, as it lies in memory. */
const MAC_MASK: u64 = 0x0000_ffff_ffff_ffff;
const BROADCAST: u64 = MAC_MASK;
/** The group bit of an address' first byte. */
const GROUP: u64 = 1;

/** Addresses that each table holds; a longer one counts as "all of them" (1.2: 5.1.6.5.2 leaves filtering imperfect). */
export const FILTER_ENTRIES: u32 = 64;

const destination: usize = memory.data(8, 8);

/** A table of addresses. */
class AddressTable {
  private count: u32 = 0;
  private overflow: bool = false;
  private readonly addresses: StaticArray<u64> = new StaticArray<u64>(FILTER_ENTRIES);

  clear(): void {
    this.count = 0;
    this.overflow = false;
  }
  add(address: u64): void {
    if (this.count == FILTER_ENTRIES) this.overflow = true;
    else unchecked((this.addresses[this.count++] = address));
  }
  has(address: u64): bool {
    if (this.overflow) return true;
    for (let i: u32 = 0; i < this.count; i++) if (unchecked(this.addresses[i]) == address) return true;
    return false;
  }
}

/** Which received frames the guest wants to see, as it says by the control queue. */
export class ReceiveFilter {
  /** The guest's own address: first byte in bits 7:0. */
  mac: u64 = 0;
  promiscuous: bool = true;
  allMulticast: bool = false;
  readonly unicast: AddressTable = new AddressTable();
  readonly multicast: AddressTable = new AddressTable();

  /** As after a reset: everything is handed on, as to a driver without a control queue. */
  reset(mac: u64): void {
    this.mac = mac;
    this.promiscuous = true;
    this.allMulticast = false;
    this.unicast.clear();
    this.multicast.clear();
  }

  accepts(frame: Frame): bool {
    if (this.promiscuous) return true;
    store<u64>(destination, 0);
    frame.copyTo(physOf(destination), MAC_LENGTH);
    return this.wants(load<u64>(destination));
  }
  /** The same for a frame whose first eight bytes are known. */
  acceptsStart(start: u64): bool {
    return this.promiscuous || this.wants(start & MAC_MASK);
  }

  private wants(address: u64): bool {
    if (address == this.mac || address == BROADCAST) return true;
    if (address & GROUP) return this.allMulticast || this.multicast.has(address);
    return this.unicast.has(address);
  }
}
