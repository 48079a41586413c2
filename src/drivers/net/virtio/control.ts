import { physOf, physWrite8 } from "../../../metal";
import { SegmentList } from "../segments";
import { FILTER_ENTRIES, ReceiveFilter } from "./filter";
import { ControlAck, ControlCommand, Feature } from "./layout";
import { QUEUE_SIZE, Taken, Virtqueue } from "./queue";

const MAC_LENGTH: u32 = 6;
/** Far more than any driver has. */
const MAXIMUM_ENTRIES: u32 = 0xffff;

/** A field of a command, copied out of the guest's memory. */
const field: usize = memory.data(8, 8);

/** Queue 2: what the guest says about the frames that it wants to receive (1.2: 5.1.6.5). */
export class ControlQueue {
  readonly queue: Virtqueue = new Virtqueue();
  running: bool = false;
  /** Features that the guest has accepted. */
  features: u32 = 0;
  private readonly command: SegmentList = new SegmentList();
  private readonly answer: SegmentList = new SegmentList();

  constructor(private readonly filter: ReceiveFilter) {}

  /** Carries out the commands that the guest offers, a queue full at most. */
  service(): void {
    if (!this.running) return;
    for (let left = QUEUE_SIZE; left; left--) {
      const taken = this.queue.take(this.command, this.answer);
      if (taken == Taken.Empty && this.queue.wantNotify(true)) continue;
      if (taken != Taken.Chain) return;
      if (this.answer.length == 0) return this.queue.fail();
      physWrite8(this.answer.address(0), this.carryOut() ? ControlAck.OK : ControlAck.ERR);
      this.queue.finish(this.queue.head, 1);
    }
  }

  /** False for what is unknown, was not agreed on, or is too short. */
  private carryOut(): bool {
    if (!this.fetch(2)) return false;
    const receiving = (this.features & Feature.CTRL_RX) != 0;
    switch (load<u16>(field) as u32) {
      case ControlCommand.Promiscuous:
        if (!receiving || !this.fetch(1)) return false;
        this.filter.promiscuous = load<u8>(field) != 0;
        return true;
      case ControlCommand.AllMulticast:
        if (!receiving || !this.fetch(1)) return false;
        this.filter.allMulticast = load<u8>(field) != 0;
        return true;
      case ControlCommand.MacTable:
        return receiving && this.setTables();
      case ControlCommand.MacAddress:
        if (!(this.features & Feature.CTRL_MAC_ADDR) || !this.fetch(MAC_LENGTH)) return false;
        this.filter.mac = load<u64>(field);
        return true;
      default:
        return false;
    }
  }

  /** Unicast addresses, then multicast ones, each after their number. A table that is cut short is an empty one. */
  private setTables(): bool {
    this.filter.unicast.clear();
    this.filter.multicast.clear();
    return this.setTable(false) && this.setTable(true);
  }

  private setTable(multicast: bool): bool {
    if (!this.fetch(4)) return false;
    const entries = load<u32>(field);
    if (entries > MAXIMUM_ENTRIES || ((entries * MAC_LENGTH) as u64) > this.command.length) return false;
    const table = multicast ? this.filter.multicast : this.filter.unicast;
    // Those beyond what a table holds are not looked at.
    for (let left = min(entries, FILTER_ENTRIES + 1); left; left--) {
      this.fetch(MAC_LENGTH);
      table.add(load<u64>(field));
    }
    const skipped = entries > FILTER_ENTRIES + 1 ? entries - FILTER_ENTRIES - 1 : 0;
    this.command.drop(skipped * MAC_LENGTH);
    return true;
  }

  /** Takes the next `bytes` of the command to `field`, the rest of it zero; false if there are not as many. */
  private fetch(bytes: u32): bool {
    if (this.command.length < (bytes as u64)) return false;
    store<u64>(field, 0);
    this.command.copyTo(physOf(field), bytes);
    this.command.drop(bytes);
    return true;
  }
}
