// The host coalescing engine: when the status block goes to the host, and the interrupt that tells of it (5718 guide, "Host
// Coalescing Control Registers"; 5722 guide, "Interrupt Mailbox 0" and section 11). What the engine writes is on its way for
// a while, and the interrupt may come first: only a read of a register brings in what was written before.
import type { Clock, Timer } from "../clock.ts";
import type { Faults } from "./faults.ts";
import type { Order } from "./order.ts";
import type { PciFunction } from "../pci/function.ts";
import { CoalescingMode, HostControl, LINK_CHANGED, Mode, Reg } from "./registers.ts";
import { ringAddress } from "./state.ts";

const MICROSECOND = 1000;
/** How long a write to the host's memory may be on its way. */
const POSTED = 100 * MICROSECOND;
const STORM = 10 * MICROSECOND;
const STATUS_BLOCK = 32;
const Status = { Updated: 1, Link: 2 } as const;
const IN_ISR = 0xff_ffff;

export interface CoalescingCard {
  readonly clock: Clock;
  readonly pci: PciFunction;
  readonly faults: Faults;
  readonly order: Order;
  get(register: number): number;
}

/** One of the two ways: descriptors since the last status block, and the time to the next. */
interface Way {
  readonly ticks: number;
  readonly count: number;
  readonly countInIsr: number;
  events: number;
  timer: Timer | undefined;
}

export class Coalescing {
  interruptCount = 0;
  /** Indices that the status block tells. */
  standardConsumer = 0;
  returnProducer = 0;
  sendConsumer = 0;
  readonly receive: Way = way(Reg.ReceiveTicks, Reg.ReceiveCount, Reg.ReceiveCountInIsr);
  readonly send: Way = way(Reg.SendTicks, Reg.SendCount, Reg.SendCountInIsr);
  readonly #card: CoalescingCard;
  #tag = 0;
  #mailbox = 0;
  /** The card's own interrupt state, before the mask. */
  #state = false;
  /** An interrupt came, and nobody has read a register since. */
  #unread = false;
  #posted: Uint8Array | undefined;

  constructor(card: CoalescingCard) {
    this.#card = card;
  }

  reset(): void {
    for (const each of [this.receive, this.send]) this.#clear(each);
    this.standardConsumer = this.returnProducer = this.sendConsumer = this.#tag = this.#mailbox = 0;
    this.#posted = undefined;
    this.#unread = false;
    this.#setState(false);
  }

  get mailbox(): number {
    return this.#mailbox;
  }

  /** Descriptors were used up: the host is told now, or when there are enough, or after a while. */
  happened(way: Way, descriptors: number, now = false): void {
    const { clock } = this.#card;
    way.events += descriptors;
    const limit = this.#card.get(this.#mailbox & IN_ISR ? way.countInIsr : way.count);
    if (now || (limit && way.events >= limit)) return this.#update();
    const ticks = this.#card.get(way.ticks);
    if (ticks) way.timer ??= clock.after(ticks * MICROSECOND, () => this.#update());
  }

  /** The MAC has something to say. */
  attention(): void {
    if (this.#card.get(Reg.ModeControl) & Mode.MacAttention && this.#link) this.#update();
  }

  /** The driver writes the mode with the bit that asks for a status block now. */
  now(mode: number): void {
    this.#update((mode & CoalescingMode.NoInterruptOnNow) === 0);
  }

  /** Any read of a register pushes what was posted before it. */
  flush(): void {
    this.#unread = false;
    const bytes = this.#posted;
    this.#posted = undefined;
    if (!bytes) return;
    const { pci, get } = { pci: this.#card.pci, get: (register: number) => this.#card.get(register) };
    pci.dmaWrite(ringAddress(get(Reg.StatusBlock), get(Reg.StatusBlockLow)), bytes);
  }

  /** A write to the interrupt mailbox: ends the interrupt; another comes if the host has not seen the last tag. */
  acknowledge(value: number): void {
    const opens = (value & IN_ISR) === 0;
    if (opens && this.#unread) {
      this.#card.order.violate("an interrupt is acknowledged without a read that brings the status block in");
    }
    this.#mailbox = value;
    this.#unread = false;
    this.#setState(false);
    if (opens && value >>> 24 !== this.#tag) this.#setState(true);
    if (opens && this.#card.faults.storm) this.#card.clock.after(STORM, () => this.#setState(true));
  }

  /** The mask may have changed. */
  maskChanged(): void {
    const masked = (this.#card.get(Reg.MiscHostControl) & HostControl.Mask) !== 0;
    const asserted = this.#state && !masked;
    if (asserted && !this.#card.pci.interruptAsserted) this.interruptCount++;
    this.#card.pci.setInterrupt(asserted);
  }

  get #link(): boolean {
    return (this.#card.get(Reg.MacStatus) & this.#card.get(Reg.MacEvent) & LINK_CHANGED) !== 0;
  }

  /** Writes the status block, and interrupts if what happened is to; `interrupt` asks for it whatever happened. */
  #update(interrupt = false): void {
    const { order, faults, clock } = this.#card;
    const mode = this.#card.get(Reg.ModeControl);
    const told =
      (this.receive.events > 0 && !(mode & Mode.NoInterruptOnReceive)) ||
      (this.send.events > 0 && !(mode & Mode.NoInterruptOnSend)) ||
      (this.#link && (mode & Mode.MacAttention) !== 0);
    this.#clear(this.receive);
    this.#clear(this.send);
    if (!order.enabled("CoalescingMode") || !order.enabled("WriteDma") || faults.silent || faults.allOnes) return;
    this.#tag = (this.#tag + 1) & 0xff;
    const block = new DataView(new ArrayBuffer(STATUS_BLOCK));
    block.setUint32(0, Status.Updated | (this.#link ? Status.Link : 0), true);
    block.setUint32(4, this.#tag, true);
    block.setUint16(10, this.standardConsumer, true);
    block.setUint16(16, faults.returnProducer ?? this.returnProducer, true);
    block.setUint16(18, faults.sendConsumer ?? this.sendConsumer, true);
    this.#posted = new Uint8Array(block.buffer);
    clock.after(POSTED, () => this.#posted && this.#arrive());
    if (!(interrupt || told) || this.#mailbox & IN_ISR) return;
    this.#unread = true;
    this.#setState(true);
  }

  /** What was posted is there by itself, though the driver could not know. */
  #arrive(): void {
    const unread = this.#unread;
    this.flush();
    this.#unread = unread;
  }

  #setState(state: boolean): void {
    this.#state = state;
    this.maskChanged();
  }

  #clear(way: Way): void {
    way.events = 0;
    this.#card.clock.cancel(way.timer);
    way.timer = undefined;
  }
}

function way(ticks: number, count: number, countInIsr: number): Way {
  return { ticks, count, countInIsr, events: 0, timer: undefined };
}
