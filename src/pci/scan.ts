import { configSpace } from "./config";
import { Header } from "./header";

const FUNCTIONS: u32 = 0x1_0000;
const MULTIFUNCTION: u32 = 0x80;

/** Walks all functions that are there, in the order of their addresses; functions 1 to 7 only where function 0 has them. */
export class FunctionScan {
  private next: u32 = 0;
  /** Address of the function found last, and its device ID 31:16 and vendor ID 15:0. */
  address: u32 = 0;
  id: u32 = 0;

  /** Goes to the next function; false after the last. */
  advance(): bool {
    while (this.next < FUNCTIONS) {
      this.address = this.next;
      this.id = configSpace.read(this.address, Header.VendorId, 4);
      const present = (this.id & 0xffff) != 0xffff;
      const alone = (this.address & 7) == 0 && !(present && this.multifunction());
      this.next += alone ? 8 : 1;
      if (present) return true;
    }
    return false;
  }

  private multifunction(): bool {
    return (configSpace.read(this.address, Header.HeaderType, 1) & MULTIFUNCTION) != 0;
  }
}
