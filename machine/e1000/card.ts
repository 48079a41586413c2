// The 82540EM (8086:100e) and the 82574L (8086:10d3): Intel PCI/PCI-X Family of Gigabit Ethernet Controllers Software
// Developer's Manual; Intel 82574 GbE Controller Family data sheet. One queue each way.
import { allOnes, truncate, type Width } from "../bits.ts";
import type { Clock } from "../clock.ts";
import type { MmioDevice } from "../memory.ts";
import { addExpress, addPowerManagement, Msi, MsiX } from "../pci/capabilities.ts";
import type { NetworkCard } from "../net/card.ts";
import { Wire } from "../net/wire.ts";
import { Config, PciFunction } from "../pci/function.ts";
import type { PortDevice } from "../ports.ts";
import { EERD_8254X, EERD_8257X, eepromWords, Phy, readEeprom } from "./eeprom.ts";
import { noFaults } from "./faults.ts";
import { Interrupts } from "./interrupts.ts";
import { Receiver } from "./receive.ts";
import { Ctrl, Icr, RAH_VALID, Reg, Status } from "./registers.ts";
import { type CardState, Registers } from "./state.ts";
import { Statistics } from "./statistics.ts";
import { Transmitter } from "./transmit.ts";

export type Model = "82540EM" | "82574L";

export interface CardOptions {
  readonly model: Model;
  readonly mac?: readonly number[];
  /** Time from a reset until the link is up, in nanoseconds. */
  readonly linkDelay?: number;
}

const DEVICE_IDS = { "82540EM": 0x100e, "82574L": 0x10d3 } as const;
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
  readonly #model: Model;

  constructor(clock: Clock, { model, mac = DEFAULT_MAC, linkDelay = MILLISECOND }: CardOptions) {
    this.#model = model;
    this.mac = mac;
    this.#linkDelay = linkDelay;
    this.#eeprom = eepromWords(mac, DEVICE_IDS[model]);
    this.pci = newFunction(model);
    this.#addBars();
    if (this.#is82574()) {
      addPowerManagement(this.pci, 0xc8);
      this.msi = new Msi(this.pci, 0xd0);
      addExpress(this.pci, 0xe0);
      this.#msix = new MsiX(this.pci, 0xa0, 3, 5, 0x2000);
      this.pci.addMemoryBar(3, 0x4000, this.#msix);
    } else addPowerManagement(this.pci, 0xdc);
    this.interrupts = new Interrupts(clock, this.#output(), this.faults);
    const { registers, interrupts, statistics, pci, faults, wire } = this;
    this.#state = { registers, interrupts, statistics, pci, faults, wire, clock };
    this.transmitter = new Transmitter(this.#state);
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
    const bar = (index: number, base: number): void => this.pci.writeConfig(Config.Bar0 + 4 * index, 4, base);
    bar(0, memory);
    if (this.#is82574()) {
      bar(1, memory + 0x2_0000);
      bar(2, ports);
      bar(3, memory + 0x4_0000);
    } else bar(1, ports);
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
    registers.set(Reg.STATUS, Status.FullDuplex | Status.Speed1000 | (this.#is82574() ? Status.GioMasterEnable : 0));
    registers.set(Reg.EECD, 0x0000_0310);
    registers.set(Reg.PBA, this.#is82574() ? 0x0014_0014 : 0x0010_0030);
    registers.set(Reg.TXDCTL, 0x0140_0000);
    registers.set(Reg.RXDCTL, 0x0101_0000);
    registers.set(Reg.RAL0, (this.#eeprom[0]! | (this.#eeprom[1]! << 16)) >>> 0);
    registers.set(Reg.RAH0, (RAH_VALID | this.#eeprom[2]!) >>> 0);
  }

  readMmio(offset: number, width: Width): number {
    if (this.faults.allOnes) return allOnes(width);
    const value = this.#read(offset & ~3);
    return truncate(value >>> (8 * (offset & 3)), width);
  }

  writeMmio(offset: number, width: Width, value: number): void {
    if (this.faults.allOnes || width !== 4 || offset & 3) return;
    const handler = this.#handlers.get(offset);
    if (handler?.write) handler.write(value);
    else if (!this.statistics.covers(offset)) this.registers.set(offset, value);
  }

  #is82574(): boolean {
    return this.#model === "82574L";
  }

  #read(offset: number): number {
    if (this.statistics.covers(offset)) return this.statistics.read(offset);
    return this.#handlers.get(offset)?.read?.() ?? this.registers.get(offset);
  }

  #addBars(): void {
    const flash: MmioDevice = { readMmio: (_offset, width) => allOnes(width), writeMmio: () => undefined };
    this.pci.addMemoryBar(0, 0x2_0000, this);
    if (this.#is82574()) {
      this.pci.addMemoryBar(1, 0x2_0000, flash);
      this.pci.addPortBar(2, 0x20, this.#ioWindow());
    } else this.pci.addPortBar(1, 0x40, this.#ioWindow());
  }

  /** IOADDR at 0 chooses the register that IODATA at 4 reaches (8254x manual, 13.2.1.2). */
  #ioWindow(): PortDevice {
    let address = 0;
    return {
      readPort: (offset, width) => (offset >= 4 ? this.readMmio(address, width) : address),
      writePort: (offset, width, value) => {
        if (offset >= 4) this.writeMmio(address, width, value);
        else address = value % 0x2_0000;
      },
    };
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
      setPin: (asserted) => {
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
      [Reg.TCTL, { write: (value) => this.#thenTransmit(Reg.TCTL, value) }],
      [Reg.RDTR, { write: (value) => this.#writeRdtr(value) }],
    ]);
  }

  #eerd(): typeof EERD_8254X {
    return this.#is82574() ? EERD_8257X : EERD_8254X;
  }

  #writeCtrl(value: number): void {
    const { registers } = this;
    if (value & Ctrl.Reset) {
      this.reset();
      registers.set(Reg.CTRL, registers.get(Reg.CTRL) | Ctrl.Reset);
      if (!this.faults.resetHangs) {
        this.#state.clock.after(RESET_TIME, () => registers.set(Reg.CTRL, registers.get(Reg.CTRL) & ~Ctrl.Reset));
      }
      return;
    }
    registers.set(Reg.CTRL, value);
    if (this.#is82574()) this.#setMaster((value & Ctrl.GioMasterDisable) === 0);
    if (value & Ctrl.SetLinkUp && !this.linkUp) {
      this.#state.clock.after(this.#linkDelay, () => this.setCable(this.cable));
    }
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

function newFunction(model: Model): PciFunction {
  return new PciFunction({
    vendor: 0x8086,
    device: DEVICE_IDS[model],
    revision: model === "82574L" ? 0 : 3,
    classCode: 0x02_0000,
    subsystemVendor: 0x8086,
    subsystem: model === "82574L" ? 0 : 0x001e,
    interruptPin: 1,
    express: model === "82574L",
  });
}
