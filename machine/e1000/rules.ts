// What a driver has to observe at a reset, by model. Whoever does not fails the test.
import type { ModelFacts } from "./models.ts";
import { Ctrl, Rctl, Reg, Status } from "./registers.ts";
import type { CardState } from "./state.ts";

/** A chipset's MAC that is touched earlier hangs. */
const CHIPSET_SILENCE = 10_000_000;
const MDIO_OWNERSHIP = 1 << 5;
const AUTO_READ_DONE = 1 << 9;
const RING_STATUS = 0xe4;
const FLUSH_REQUIRED = 1 << 8;
const DISABLE_MULR_FIX = 1 << 13;
const TXDCTL_BIT_22 = 1 << 22;
const CTRL_EXT_BIT_22 = 1 << 22;
const IOSF_BIT_16 = 1 << 16;
const TARC0_REQUESTS = 3 << 28;
const TARC0_TWO_REQUESTS = 2 << 28;
const ECC = 1 << 16;

export class Rules {
  readonly #card: CardState;
  readonly #facts: ModelFacts;
  readonly #reload: () => void;
  #silentUntil = 0;

  constructor(card: CardState, facts: ModelFacts, reload: () => void) {
    this.#card = card;
    this.#facts = facts;
    this.#reload = reload;
  }

  /** Any access to a register. */
  access(): void {
    if (this.#card.clock.now < this.#silentUntil) violate("an access while the card resets");
  }

  /** A write of CTRL that begins a reset. */
  beforeReset(control: number): void {
    const { registers, pci } = this.#card;
    const { express, ownsManagement, emptyRings, chipset } = this.#facts;
    if (chipset && control & Ctrl.PhyReset) violate("a reset of the PHY, which falls back to 10 Mb/s");
    if (chipset && registers.get(Reg.RCTL) & Rctl.Enable) violate("a reset while the card receives");
    if (chipset && registers.get(Reg.STATUS) & Status.GioMasterEnable) violate("a reset with requests under way");
    if (ownsManagement && express && !(registers.get(Reg.EXTCNF_CTRL) & MDIO_OWNERSHIP)) {
      violate("a reset without the management interface");
    }
    const full = (pci.get(RING_STATUS, 2) & FLUSH_REQUIRED) !== 0 && registers.get(Reg.TDLEN) !== 0;
    if (emptyRings && full) violate("a reset with descriptors in the card, which hangs");
  }

  /** What a reset begins: the card is deaf for a while, and reads its EEPROM. */
  resetBegins(): void {
    const { clock, registers } = this.#card;
    const { chipset, reload, express } = this.#facts;
    if (chipset) this.#silentUntil = clock.now + CHIPSET_SILENCE;
    registers.set(Reg.EECD, registers.get(Reg.EECD) & ~AUTO_READ_DONE);
    clock.after(reload, () => {
      this.#reload();
      if (chipset) registers.set(Reg.STATUS, registers.get(Reg.STATUS) | Status.LanInitDone);
      else if (express) registers.set(Reg.EECD, registers.get(Reg.EECD) | AUTO_READ_DONE);
    });
  }

  /** The card is to receive: by then the bits are set that this model wants. */
  beforeReceiving(): void {
    const { registers } = this.#card;
    const { express, chipset, emptyRings, device, msix } = this.#facts;
    const has = (register: number, bits: number): boolean => (registers.get(register) & bits) === bits;
    if (express && !msix && !has(Reg.TXDCTL1, TXDCTL_BIT_22)) violate("the second send queue without bit 22");
    if (!chipset) return;
    if (!has(Reg.CTRL_EXT, CTRL_EXT_BIT_22)) violate("extended control without bit 22");
    if (device !== 0x1502 && (!has(Reg.PBECCSTS, ECC) || !has(Reg.CTRL, Ctrl.MemoryErrors))) violate("no ECC");
    if (!emptyRings) return;
    if (!has(Reg.IOSFPC, IOSF_BIT_16)) violate("IOSF without bit 16");
    if ((registers.get(Reg.TARC0) & TARC0_REQUESTS) !== TARC0_TWO_REQUESTS) violate("three requests at once");
  }

  /** Descriptors were carried out; one of 512 bytes that ends nothing drives all others out. */
  sent(pushedOut: boolean): void {
    if (!this.#facts.emptyRings) return;
    const { pci, registers } = this.#card;
    const status = pci.get(RING_STATUS, 2) & ~FLUSH_REQUIRED;
    const out = pushedOut && (registers.get(Reg.FEXTNVM11) & DISABLE_MULR_FIX) !== 0;
    pci.set(RING_STATUS, 2, status | (out ? 0 : FLUSH_REQUIRED));
  }
}

function violate(what: string): never {
  throw new Error(`the card would not take this: ${what}`);
}
