// The 82540EM (8086:100e) and the 82574L (8086:10d3): Intel PCI/PCI-X Family of Gigabit Ethernet Controllers Software
// Developer's Manual; Intel 82574 GbE Controller Family data sheet. One queue each way.
import { allOnes, truncate, type Width } from "../bits.ts";
import type { Clock } from "../clock.ts";
import type { MmioDevice } from "../memory.ts";
import { addExpress, addPowerManagement, Msi, MsiX } from "../pci/capabilities.ts";
import type { NetworkCard } from "../net/card.ts";
import { Wire } from "../net/wire.ts";
import { Config, PciFunction } from "../pci/function.ts";
import { EERD_8254X, EERD_8257X, eepromWords, Phy, readEeprom } from "./eeprom.ts";
import { noFaults } from "./faults.ts";
import { addBars, newFunction, placeBars } from "./function.ts";
import { Interrupts } from "./interrupts.ts";
import { type Model, MODELS, type ModelFacts } from "./models.ts";
import { Receiver } from "./receive.ts";
import { Ctrl, Icr, RAH_VALID, Rctl, Reg, Status } from "./registers.ts";
import { Rules } from "./rules.ts";
import { type CardState, Registers } from "./state.ts";
import { Statistics } from "./statistics.ts";
import { Transmitter } from "./transmit.ts";

export type { Model } from "./models.ts";

export interface CardOptions {
  readonly model: Model;
  readonly mac?: readonly number[];
  /** Time from a reset until the link is up, in nanoseconds. */
  readonly linkDelay?: number;
}

const CTRL_EXT_IAME = 1 << 27;
const MILLISECOND = 1_000_000;
/** Time that a reset takes; the manual says 1 µs. */
const RESET_TIME = 1000;
const DEFAULT_MAC = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];

/** Registers with side effects; every other is plain storage. */
interface Handler {
  readonly read?: () => number;
  readonly write?: (value: number) => void;
}

export class E1000 implements MmioDevice, NetworkCard {
  readonly pci: PciFunction;
  readonly wire = new Wire();
  readonly faults = noFaults();
  readonly registers = new Registers();
  readonly interrupts: Interrupts;
  readonly statistics = new Statistics();
  readonly transmitter: Transmitter;
  readonly receiver: Receiver;
  readonly mac: readonly number[];
  /** The cable is plugged in. */
  cable = true;
  interruptCount = 0;
  readonly msi: Msi | undefined;
  readonly #msix: MsiX | undefined;
  readonly #state: CardState;
  readonly #phy = new Phy();
  readonly #handlers: ReadonlyMap<number, Handler>;
  readonly #linkDelay: number;
  readonly #eeprom: Uint16Array;
  readonly #facts: ModelFacts;
  readonly #rules: Rules;

  constructor(clock: Clock, { model, mac = DEFAULT_MAC, linkDelay = MILLISECOND }: CardOptions) {
    this.#facts = MODELS[model];
    this.mac = mac;
    this.#linkDelay = linkDelay;
    this.#eeprom = eepromWords(mac, this.#facts.device);
    this.pci = newFunction(this.#facts);
    addBars(this.pci, this.#facts, this);
    if (this.#facts.express) {
      addPowerManagement(this.pci, 0xc8);
      this.msi = new Msi(this.pci, 0xd0);
      if (!this.#facts.chipset) addExpress(this.pci, 0xe0);
    } else addPowerManagement(this.pci, 0xdc);
    if (this.#facts.msix) {
      this.#msix = new MsiX(this.pci, 0xa0, 3, 5, 0x2000);
      this.pci.addMemoryBar(3, 0x4000, this.#msix);
    }
    this.interrupts = new Interrupts(clock, this.#output(), this.faults);
    const { registers, interrupts, statistics, pci, faults, wire } = this;
    this.#state = { registers, interrupts, statistics, pci, faults, wire, clock };
    this.#rules = new Rules(this.#state, this.#facts, () => this.#reload());
    this.transmitter = new Transmitter(this.#state, (pushedOut) => this.#rules.sent(pushedOut));
    this.receiver = new Receiver(this.#state);
    this.wire.toCard = (frame) => this.linkUp && !this.faults.allOnes && this.receiver.receive(frame);
    this.#handlers = this.#table();
    let messages = this.#messages();
    this.pci.onConfigWrite(() => {
      if (messages === this.#messages()) return;
      messages = this.#messages();
      this.interrupts.outputChanged();
    });
    this.reset();
  }

  get linkUp(): boolean {
    return (this.registers.get(Reg.STATUS) & Status.LinkUp) !== 0;
  }

  setCable(plugged: boolean): void {
    this.cable = plugged;
    this.#setLink(plugged && (this.registers.get(Reg.CTRL) & Ctrl.SetLinkUp) !== 0);
  }

  place(memory: number, ports: number): void {
    placeBars(this.pci, this.#facts, memory, ports);
  }

  powerCycle(): void {
    this.pci.writeConfig(Config.Command, 2, 0);
    for (let bar = 0; bar < 6; bar++) this.pci.writeConfig(Config.Bar0 + 4 * bar, 4, 0);
    this.msi?.disable();
    this.reset();
  }

  /** All registers to what a power-up leaves; the MAC address comes from the EEPROM. */
  reset(): void {
    const { registers } = this;
    registers.clear();
    this.interrupts.reset();
    this.statistics.clear();
    this.transmitter.reset();
    this.receiver.reset();
    this.#phy.reset();
    this.#phy.linkUp = false;
    registers.set(Reg.CTRL, 0x0000_0201);
    registers.set(
      Reg.STATUS,
      Status.FullDuplex | Status.Speed1000 | (this.#facts.express ? Status.GioMasterEnable : 0),
    );
    registers.set(Reg.EECD, 0x0000_0310);
    registers.set(Reg.PBA, this.#facts.express ? 0x0014_0014 : 0x0010_0030);
    registers.set(Reg.TXDCTL, 0x0140_0000);
    registers.set(Reg.RXDCTL, 0x0101_0000);
    this.#reload();
  }

  /** The receive address from the EEPROM. */
  #reload(): void {
    if (this.faults.addressNotLoaded) return;
    this.registers.set(Reg.RAL0, (this.#eeprom[0]! | (this.#eeprom[1]! << 16)) >>> 0);
    this.registers.set(Reg.RAH0, (RAH_VALID | this.#eeprom[2]!) >>> 0);
  }

  readMmio(offset: number, width: Width): number {
    if (this.faults.allOnes) return allOnes(width);
    this.#rules.access();
    const value = this.#read(offset & ~3);
    return truncate(value >>> (8 * (offset & 3)), width);
  }

  writeMmio(offset: number, width: Width, value: number): void {
    if (this.faults.allOnes || width !== 4 || offset & 3) return;
    this.#rules.access();
    const handler = this.#handlers.get(offset);
    if (handler?.write) handler.write(value);
    else if (!this.statistics.covers(offset)) this.registers.set(offset, value);
  }

  #read(offset: number): number {
    if (this.statistics.covers(offset)) return this.statistics.read(offset);
    return this.#handlers.get(offset)?.read?.() ?? this.registers.get(offset);
  }

  #messages(): boolean {
    return (this.msi?.enabled ?? false) || (this.#msix?.enabled ?? false);
  }

  #output(): { messages: boolean; sendMessage: (causes: number) => void; setPin: (asserted: boolean) => void } {
    const messages = (): boolean => this.#messages();
    return {
      get messages() {
        return messages();
      },
      sendMessage: (causes) => {
        this.interruptCount++;
        if (this.#msix?.enabled) this.#sendMsiX(causes);
        else this.msi?.send();
      },
      setPin: (pin) => {
        const asserted = pin && !this.#facts.lineDead;
        if (asserted && !this.pci.interruptAsserted) this.interruptCount++;
        this.pci.setInterrupt(asserted);
      },
    };
  }

  /** IVAR gives each cause an MSI-X vector: bits 2:0 of four bits, bit 3 says it is valid (82574 data sheet, 10.2.4.9). */
  #sendMsiX(causes: number): void {
    const ivar = this.registers.get(Reg.IVAR);
    const queues = [Icr.Rxq0, 1 << 21, Icr.Txq0, 1 << 23, Icr.Other];
    for (const [index, cause] of queues.entries()) {
      const field = (ivar >>> (4 * index)) & 15;
      if (causes & cause && field & 8) this.#msix!.send(field & 7);
    }
  }

  #table(): ReadonlyMap<number, Handler> {
    const { interrupts, registers } = this;
    const readsZero = { read: () => 0 };
    return new Map<number, Handler>([
      [Reg.CTRL, { write: (value) => this.#writeCtrl(value) }],
      [Reg.STATUS, { write: () => undefined }],
      [Reg.CTRL_EXT, { write: (value) => this.#writeCtrlExt(value) }],
      [Reg.EERD, { write: (value) => readEeprom(this.#state, this.#eeprom, this.#eerd(), value) }],
      [Reg.MDIC, { write: (value) => this.#phy.access(this.#state, value) }],
      [Reg.ICR, { read: () => interrupts.read(), write: (value) => interrupts.acknowledge(value) }],
      [Reg.ICS, { ...readsZero, write: (value) => interrupts.raise(value & ~Icr.Asserted) }],
      [Reg.IMS, { read: () => interrupts.ims, write: (value) => interrupts.unmask(value) }],
      [Reg.IMC, { ...readsZero, write: (value) => interrupts.mask(value) }],
      [Reg.ITR, { read: () => interrupts.itr, write: (value) => (interrupts.itr = value & 0xffff) }],
      [Reg.IAM, { read: () => interrupts.iam, write: (value) => (interrupts.iam = value) }],
      [Reg.RDLEN, { write: (value) => registers.set(Reg.RDLEN, value & 0xf_ff80) }],
      [Reg.TDLEN, { write: (value) => registers.set(Reg.TDLEN, value & 0xf_ff80) }],
      [Reg.RDBAL, { write: (value) => registers.set(Reg.RDBAL, value & ~15) }],
      [Reg.TDBAL, { write: (value) => registers.set(Reg.TDBAL, value & ~15) }],
      [Reg.RDH, { write: (value) => registers.set(Reg.RDH, value & 0xffff) }],
      [Reg.RDT, { write: (value) => registers.set(Reg.RDT, value & 0xffff) }],
      [Reg.TDH, { write: (value) => registers.set(Reg.TDH, value & 0xffff) }],
      [Reg.TDT, { write: (value) => this.#thenTransmit(Reg.TDT, value & 0xffff) }],
      [Reg.RCTL, { write: (value) => this.#writeRctl(value) }],
      [Reg.TCTL, { write: (value) => this.#thenTransmit(Reg.TCTL, value) }],
      [Reg.RDTR, { write: (value) => this.#writeRdtr(value) }],
    ]);
  }

  #eerd(): typeof EERD_8254X {
    return this.#facts.express ? EERD_8257X : EERD_8254X;
  }

  #writeCtrl(value: number): void {
    const { registers } = this;
    if (value & Ctrl.Reset) {
      this.#rules.beforeReset(value);
      this.reset();
      this.#rules.resetBegins();
      registers.set(Reg.CTRL, registers.get(Reg.CTRL) | Ctrl.Reset);
      if (!this.faults.resetHangs) {
        this.#state.clock.after(RESET_TIME, () => registers.set(Reg.CTRL, registers.get(Reg.CTRL) & ~Ctrl.Reset));
      }
      return;
    }
    registers.set(Reg.CTRL, value);
    if (this.#facts.express) this.#setMaster((value & Ctrl.GioMasterDisable) === 0);
    if (value & Ctrl.SetLinkUp && !this.linkUp) {
      this.#state.clock.after(this.#linkDelay, () => this.setCable(this.cable));
    }
  }

  #writeRctl(value: number): void {
    if (value & Rctl.Enable) this.#rules.beforeReceiving();
    this.registers.set(Reg.RCTL, value);
  }

  #setMaster(enabled: boolean): void {
    const status = this.registers.get(Reg.STATUS) & ~Status.GioMasterEnable;
    this.registers.set(Reg.STATUS, status | (enabled ? Status.GioMasterEnable : 0));
  }

  #setLink(up: boolean): void {
    if (up === this.linkUp) return;
    const status = this.registers.get(Reg.STATUS) & ~Status.LinkUp;
    this.registers.set(Reg.STATUS, status | (up ? Status.LinkUp : 0));
    this.#phy.linkUp = up;
    this.interrupts.raise(Icr.Lsc | Icr.Other);
  }

  #writeCtrlExt(value: number): void {
    this.registers.set(Reg.CTRL_EXT, value);
    this.interrupts.autoMask = (value & CTRL_EXT_IAME) !== 0;
  }

  #thenTransmit(register: number, value: number): void {
    this.registers.set(register, value);
    this.transmitter.run();
  }

  #writeRdtr(value: number): void {
    this.registers.set(Reg.RDTR, value & 0xffff);
    if (value & 0x8000_0000) this.receiver.flush();
  }
}
