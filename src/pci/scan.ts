import { configSpace, SEGMENT_SIZE } from "./config";
import { PciIdentity } from "./identity";

/** Walks all functions that are there, in the order of their addresses; functions 1 to 7 only where function 0 has them. */
export class FunctionScan {
  private next: u32 = 0;
  /** The function found last. */
  readonly identity: PciIdentity = new PciIdentity();

  /** Goes to the next function; false after the last. */
  advance(): bool {
    while (this.seek()) {
      const address = this.next;
      const present = this.identity.read(address);
      const alone = (address & 7) == 0 && !(present && this.identity.multifunction);
      this.next += alone ? 8 : 1;
      if (present) return true;
    }
    return false;
  }

  /** Goes on to the next ECAM range from the end of one, in segments other than 0; false at the end of all. */
  private seek(): bool {
    if (this.next < SEGMENT_SIZE) return true;
    let nearest: u32 = 0xffff_ffff;
    for (let range: u32 = 0; range < configSpace.ranges; range++) {
      if (this.next < configSpace.rangeEnd(range))
        nearest = min(nearest, max(this.next, configSpace.rangeFirst(range)));
    }
    this.next = nearest;
    return nearest != 0xffff_ffff;
  }
}
