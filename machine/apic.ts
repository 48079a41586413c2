// The local APIC: AMD64 Architecture Programmer's Manual volume 2, chapter 16. Its MSRs in x2APIC mode are in x2apic.ts.
import type { Width } from "./bits.ts";
import type { Clock, Timer } from "./clock.ts";
import type { MmioDevice } from "./memory.ts";
import { VectorSet } from "./vector-set.ts";

export const APIC_BASE = 0xfee0_0000;
/** Addresses at which a write by a device is a message to local APICs. */
export const MESSAGE_SPACE = { base: 0xfee0_0000, end: 0xfef0_0000 } as const;

export const Apic = {
  Id: 0x20,
  Version: 0x30,
  Tpr: 0x80,
  Apr: 0x90,
  Ppr: 0xa0,
  Eoi: 0xb0,
  Ldr: 0xd0,
  Dfr: 0xe0,
  Svr: 0xf0,
  Isr: 0x100,
  Tmr: 0x180,
  Irr: 0x200,
  Esr: 0x280,
  IcrLow: 0x300,
  IcrHigh: 0x310,
  LvtTimer: 0x320,
  LvtThermal: 0x330,
  LvtCounter: 0x340,
  LvtLint0: 0x350,
  LvtLint1: 0x360,
  LvtError: 0x370,
  TimerInitial: 0x380,
  TimerCurrent: 0x390,
  TimerDivide: 0x3e0,
} as const;

export const Delivery = { Fixed: 0, Lowest: 1, Smi: 2, Nmi: 4, Init: 5, Startup: 6, ExtInt: 7 } as const;
/** Destination shorthands of the interrupt command register. */
export const Shorthand = { None: 0, Self: 1, All: 2, AllButSelf: 3 } as const;
export type ApicMode = "disabled" | "xapic" | "x2apic";
const BROADCAST = 0xff;
const X2APIC_BROADCAST = 0xffff_ffff;
const LOCAL_VECTORS = [Apic.LvtTimer, Apic.LvtThermal, Apic.LvtCounter, Apic.LvtLint0, Apic.LvtLint1, Apic.LvtError];
const LVT_MASKED = 1 << 16;
const LVT_PERIODIC = 1 << 17;
const SVR_ENABLE = 1 << 8;
const ESR_SENT_ILLEGAL = 1 << 5;
const ESR_RECEIVED_ILLEGAL = 1 << 6;
/** Offsets of registers that keep what is written, and the bits they keep. */
const STORED: Readonly<Record<number, number>> = {
  [Apic.Id]: 0xff00_0000,
  [Apic.Tpr]: 0xff,
  [Apic.Ldr]: 0xff00_0000,
  [Apic.Dfr]: 0xffff_ffff,
  [Apic.Svr]: 0x3ff,
  [Apic.IcrHigh]: 0xff00_0000,
  [Apic.LvtTimer]: 0x3_00ff,
  [Apic.LvtThermal]: 0x1_07ff,
  [Apic.LvtCounter]: 0x1_07ff,
  [Apic.LvtLint0]: 0x1_a7ff,
  [Apic.LvtLint1]: 0x1_a7ff,
  [Apic.LvtError]: 0x1_00ff,
  [Apic.TimerDivide]: 0xb,
};

/** An interprocessor interrupt that software asked for. */
export interface SentIpi {
  readonly vector: number;
  readonly delivery: number;
  readonly shorthand: number;
  readonly destination: number;
}

/** Brings an interprocessor interrupt to the local APICs that it is for; `logical` is its destination mode. */
export type ApicBus = (sender: LocalApic, ipi: SentIpi, logical: boolean) => void;

export class LocalApic implements MmioDevice {
  /** Every interprocessor interrupt that this one sent, for tests to look at. */
  readonly sent: SentIpi[] = [];
  /** A nonmaskable interrupt waits. */
  nmi = false;
  /** Told of each vector that an EOI retired, for the I/O APIC. */
  onEoi: (vector: number) => void = () => undefined;
  readonly irr = new VectorSet();
  readonly isr = new VectorSet();
  readonly #level = new VectorSet();
  readonly #registers = new Map<number, number>();
  #mode: ApicMode = "xapic";
  readonly #clock: Clock;
  #errors = 0;
  #timer: Timer | undefined;
  #timerStarted = 0;

  readonly #initialId: number;
  readonly #bus: ApicBus;

  /** Without a bus it is alone. */
  constructor(clock: Clock, id = 0, bus: ApicBus = deliverAlone) {
    this.#clock = clock;
    this.#initialId = id;
    this.#bus = bus;
    this.#reset();
    this.#registers.set(Apic.Svr, SVR_ENABLE | 0xff); // as firmware leaves it
  }

  get id(): number {
    return this.#mode === "x2apic" ? this.#initialId : this.#get(Apic.Id) >>> 24;
  }

  get mode(): ApicMode {
    return this.#mode;
  }
  /** Disabled it forgets everything; in x2APIC mode id and logical id are those of power-on (APM 2, 16.9 to 16.12). */
  set mode(mode: ApicMode) {
    this.#mode = mode;
    if (mode === "disabled") this.#reset();
    if (mode === "x2apic") this.#registers.set(Apic.Id, this.#initialId).set(Apic.Ldr, this.#clusterId);
  }

  /** The logical id in x2APIC mode: cluster in 31:16, one bit of 15:0 (APM 2, 16.14). */
  get #clusterId(): number {
    return (((this.#initialId >> 4) << 16) | (1 << (this.#initialId & 15))) >>> 0;
  }

  #reset(): void {
    this.#clock.cancel(this.#timer);
    this.#timer = undefined;
    this.#registers.clear();
    this.#registers.set(Apic.Id, (this.#initialId << 24) >>> 0);
    this.#registers.set(Apic.Dfr, 0xffff_ffff).set(Apic.Svr, 0xff);
    for (const offset of LOCAL_VECTORS) this.#registers.set(offset, LVT_MASKED);
    for (const set of [this.irr, this.isr, this.#level]) set.clearAll();
    this.#errors = 0;
  }

  /** A message as a device or the I/O APIC writes it (APM 2, 16.11); true if this processor took it. */
  message(address: number, data: number): boolean {
    const { destination, logical } = messageDestination(address);
    if (!this.isFor(destination, logical)) return false;
    this.accept(data & 0xff, (data >>> 8) & 7, (data & 0x8000) !== 0);
    return true;
  }

  /** Processor priority, by which lowest-priority interrupts find their processor. */
  get priority(): number {
    return this.#processorPriority();
  }

  /** Whether an interrupt with this destination is for this processor (APM 2, 16.6.1). */
  isFor(destination: number, logical: boolean): boolean {
    if (this.#mode === "disabled") return false;
    if (destination === (this.#mode === "x2apic" ? X2APIC_BROADCAST : BROADCAST)) return true;
    if (!logical) return destination === this.id;
    if (this.#mode === "x2apic") {
      return this.#clusterId >>> 16 === destination >>> 16 && (this.#clusterId & destination & 0xffff) !== 0;
    }
    const mine = this.#get(Apic.Ldr) >>> 24;
    if (this.#get(Apic.Dfr) >>> 28 === 0xf) return (mine & destination) !== 0;
    return mine >> 4 === destination >> 4 && (mine & destination & 0xf) !== 0;
  }

  /** The same for one that another local APIC, or this one, has sent. */
  isForIpi(sender: LocalApic, { shorthand, destination }: SentIpi, logical: boolean): boolean {
    if (this.#mode === "disabled") return false;
    if (shorthand === Shorthand.None) return this.isFor(destination, logical);
    if (shorthand === Shorthand.Self) return this === sender;
    return shorthand === Shorthand.All || this !== sender;
  }

  accept(vector: number, delivery: number = Delivery.Fixed, level = false): void {
    if (delivery === Delivery.Nmi) this.nmi = true;
    if (delivery > Delivery.Lowest) return;
    if (vector < 16) {
      this.#errors |= ESR_RECEIVED_ILLEGAL;
      return;
    }
    if ((this.#get(Apic.Svr) & SVR_ENABLE) === 0) return;
    this.irr.set(vector);
    if (level) this.#level.set(vector);
    else this.#level.clear(vector);
  }

  /** The vector that the processor would be given now, or -1 (APM 2, 16.6.4). */
  pending(): number {
    const vector = this.irr.highest();
    return vector >> 4 > this.#processorPriority() >> 4 ? vector : -1;
  }

  /** The processor takes the pending vector: it moves from IRR to ISR. */
  acknowledge(): number {
    const vector = this.pending();
    if (vector < 0) return -1;
    this.irr.clear(vector);
    this.isr.set(vector);
    return vector;
  }

  /** Its page, which in other modes belongs to nothing. */
  readMmio(offset: number): number {
    return this.#mode === "xapic" ? this.readRegister(offset & 0xff0) : 0xffff_ffff;
  }
  writeMmio(offset: number, _width: Width, value: number): void {
    if (this.#mode === "xapic") this.writeRegister(offset & 0xff0, value);
  }

  readRegister(register: number): number {
    if (register >= Apic.Isr && register < Apic.Esr) return this.#readVectors(register);
    switch (register) {
      case Apic.Version:
        return 0x0005_0014;
      case Apic.Ppr:
        return this.#processorPriority();
      case Apic.IcrLow:
        return this.#get(Apic.IcrLow);
      case Apic.TimerInitial:
        return this.#get(Apic.TimerInitial);
      case Apic.TimerCurrent:
        return this.#timerCount();
      case Apic.Esr:
        return this.#get(Apic.Esr);
      default:
        return register in STORED ? this.#get(register) : 0;
    }
  }

  writeRegister(register: number, value: number): void {
    const kept = STORED[register];
    if (kept !== undefined) this.#registers.set(register, (value & kept) >>> 0);
    else if (register === Apic.Eoi) this.#endOfInterrupt();
    else if (register === Apic.IcrLow) this.send(value, this.#get(Apic.IcrHigh) >>> 24);
    else if (register === Apic.TimerInitial) this.#startTimer(value);
    else if (register === Apic.Esr) {
      this.#registers.set(Apic.Esr, this.#errors);
      this.#errors = 0;
    }
  }

  #get(register: number): number {
    return this.#registers.get(register) ?? 0;
  }

  #readVectors(register: number): number {
    const index = (register >> 4) & 7;
    if (register < Apic.Tmr) return this.isr.word(index);
    return register < Apic.Irr ? this.#level.word(index) : this.irr.word(index);
  }

  #processorPriority(): number {
    const task = this.#get(Apic.Tpr);
    const service = Math.max(this.isr.highest(), 0);
    return task >> 4 >= service >> 4 ? task : service & 0xf0;
  }

  #endOfInterrupt(): void {
    const vector = this.isr.highest();
    if (vector < 0) return;
    this.isr.clear(vector);
    if (this.#level.has(vector)) this.onEoi(vector);
  }

  send(command: number, destination: number): void {
    this.#registers.set(Apic.IcrLow, (command & 0xc_cfff) >>> 0);
    const shorthand = (command >>> 18) & 3;
    const delivery = (command >>> 8) & 7;
    const vector = command & 0xff;
    const ipi = { vector, delivery, shorthand, destination };
    this.sent.push(ipi);
    if (delivery === Delivery.Fixed && vector < 16) this.#errors |= ESR_SENT_ILLEGAL;
    else this.#bus(this, ipi, (command & 0x800) !== 0);
  }

  /** The timer counts once in 10 ns, divided as the divide register says. */
  #tick(): number {
    const divide = this.#get(Apic.TimerDivide);
    const code = (divide & 3) | ((divide >> 1) & 4);
    return 10 * (code === 7 ? 1 : 2 << code);
  }

  #startTimer(count: number): void {
    this.#clock.cancel(this.#timer);
    this.#timer = undefined;
    this.#registers.set(Apic.TimerInitial, count >>> 0);
    this.#timerStarted = this.#clock.now;
    if (count) this.#timer = this.#clock.after((count >>> 0) * this.#tick(), () => this.#expire());
  }

  #expire(): void {
    const lvt = this.#get(Apic.LvtTimer);
    this.#timer = undefined;
    if (!(lvt & LVT_MASKED)) this.accept(lvt & 0xff);
    if (lvt & LVT_PERIODIC) this.#startTimer(this.#get(Apic.TimerInitial));
  }

  #timerCount(): number {
    if (!this.#timer) return 0;
    const passed = Math.floor((this.#clock.now - this.#timerStarted) / this.#tick());
    return Math.max(this.#get(Apic.TimerInitial) - passed, 0);
  }
}

/** Whom a message's address means. */
export function messageDestination(address: number): { readonly destination: number; readonly logical: boolean } {
  return { destination: (address >>> 12) & 0xff, logical: (address & 4) !== 0 };
}

const deliverAlone: ApicBus = (sender, ipi, logical) => {
  if (sender.isForIpi(sender, ipi, logical)) sender.accept(ipi.vector, ipi.delivery);
};
