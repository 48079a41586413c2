import { PciIdentity } from "./identity";

const FUNCTIONS: u32 = 0x1_0000;

/** Walks all functions that are there, in the order of their addresses; functions 1 to 7 only where function 0 has them. */
export class FunctionScan {
  private next: u32 = 0;
  /** The function found last. */
  readonly identity: PciIdentity = new PciIdentity();

  /** Goes to the next function; false after the last. */
  advance(): bool {
    while (this.next < FUNCTIONS) {
      const address = this.next;
      const present = this.identity.read(address);
      const alone = (address & 7) == 0 && !(present && this.identity.multifunction);
      this.next += alone ? 8 : 1;
      if (present) return true;
    }
    return false;
  }
}
