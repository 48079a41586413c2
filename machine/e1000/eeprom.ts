// The EEPROM and the PHY behind their access registers: 8254x manual, 5.6, 8.10, 13.4.4 (EERD) and 13.4.8 (MDIC);
// 82574 data sheet, 9.1 and 10.2.2.
import { Icr, Reg } from "./registers.ts";
import type { CardState } from "./state.ts";

/** How the two generations lay EERD out. */
export interface EerdLayout {
  readonly doneBit: number;
  readonly addressShift: number;
}
export const EERD_8254X: EerdLayout = { doneBit: 4, addressShift: 8 };
export const EERD_8257X: EerdLayout = { doneBit: 1, addressShift: 2 };

const CHECKSUM_WORD = 0x3f;
const CHECKSUM = 0xbaba;
const START = 1;

/** The words of an EEPROM with this MAC address and these PCI ids. */
export function eepromWords(mac: readonly number[], deviceId: number): Uint16Array {
  const words = new Uint16Array(64);
  for (let i = 0; i < 3; i++) words[i] = mac[2 * i]! | (mac[2 * i + 1]! << 8);
  words[0x0b] = 0x0000;
  words[0x0c] = 0x8086;
  words[0x0d] = deviceId;
  words[0x0e] = 0x8086;
  const total = words.reduce((sum, word) => sum + word, 0);
  words[CHECKSUM_WORD] = (CHECKSUM - total) & 0xffff;
  return words;
}

export function readEeprom(card: CardState, words: Uint16Array, layout: EerdLayout, command: number): void {
  if (!(command & START) || card.faults.eepromHangs) {
    card.registers.set(Reg.EERD, command);
    return;
  }
  const address = (command & 0xffff) >>> layout.addressShift;
  const word = words[address] ?? 0xffff;
  card.registers.set(Reg.EERD, ((word << 16) | (command & 0xffff & ~START) | (1 << layout.doneBit)) >>> 0);
}

const MDIC_READY = 1 << 28;
const MDIC_INTERRUPT = 1 << 29;
const MDIC_ERROR = 1 << 30;
const PHY_ADDRESS = 1;
const OPERATION_WRITE = 1;
const PHY_STATUS = 1;
const PHY_STATUS_LINK = 1 << 2;
const PHY_RESET = 1 << 15;
/** IEEE 802.3 clause 22 registers after reset: control, status, identifier. */
const PHY_RESET_VALUES: readonly number[] = [0x1140, 0x7949, 0x0141, 0x0cb1, 0x0de1, 0x45e1];

export class Phy {
  readonly #registers = new Uint16Array(32);
  linkUp = false;

  constructor() {
    this.reset();
  }

  reset(): void {
    this.#registers.fill(0);
    this.#registers.set(PHY_RESET_VALUES);
  }

  /** Carries out what was written to MDIC. */
  access(card: CardState, command: number): void {
    const register = (command >>> 16) & 31;
    const write = ((command >>> 26) & 3) === OPERATION_WRITE;
    let result = (command & ~MDIC_ERROR) | MDIC_READY;
    if (((command >>> 21) & 31) !== PHY_ADDRESS) result |= MDIC_ERROR;
    else if (write) this.#write(register, command & 0xffff);
    else result = (result & ~0xffff) | this.#read(register);
    card.registers.set(Reg.MDIC, result >>> 0);
    if (command & MDIC_INTERRUPT) card.interrupts.raise(Icr.Mdac);
  }

  #read(register: number): number {
    const link = register === PHY_STATUS && this.linkUp ? PHY_STATUS_LINK | (1 << 5) : 0;
    return this.#registers[register]! | link;
  }

  #write(register: number, value: number): void {
    if (register === 0 && value & PHY_RESET) this.reset();
    else this.#registers[register] = value;
  }
}
