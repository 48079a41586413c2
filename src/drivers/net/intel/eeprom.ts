import { pause } from "../../../metal";
import { Register, Registers } from "./registers";

/** EEPROM read of the 82540, 82545 and 82546 (8254x manual, 13.4.4): START 0, DONE 4, ADDR 15:8, DATA 31:16. */
const enum Eerd {
  START = 1 << 0,
  DONE = 1 << 4,
}
/** A word takes some 100 us. */
const MAXIMUM_POLLS: u32 = 20_000;

/** The MAC address in the EEPROM of one of these: words 0 to 2 (5.6.1), first byte in 7:0; 0 if it does not answer. */
export function readEepromMac(registers: Registers): u64 {
  let mac: u64 = 0;
  for (let word: u32 = 0; word < 3; word++) {
    registers.write(Register.EERD, (word << 8) | Eerd.START);
    let polls: u32 = 0;
    while (!(registers.read(Register.EERD) & Eerd.DONE)) {
      if (++polls == MAXIMUM_POLLS) return 0;
      pause();
    }
    mac |= ((registers.read(Register.EERD) >> 16) as u64) << ((word as u64) << 4);
  }
  return mac;
}
