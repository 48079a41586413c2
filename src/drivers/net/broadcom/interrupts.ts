import { Cause } from "../card";
import { COALESCING } from "./blocks";
import { CoalescingMode, GONE, LINK_CHANGED, ModeControl, Register, Registers } from "./registers";
import { BYTE_ORDER } from "./reset";
import { StatusBlock } from "./status";

/** Tells the card that the host is at work on its interrupts: none comes. */
const IN_ISR: u32 = 1;
const TAG_SHIFT: u32 = 24;

/** Frames received are told of some microseconds after the first, those sent after about a millisecond (10 bits). */
const RECEIVE_TICKS: u32 = 20;
const SEND_TICKS: u32 = 1000;
/** Or when there are so many descriptors. */
const RECEIVE_COUNT: u32 = 32;
const SEND_COUNT: u32 = 64;

const MODE: u32 =
  BYTE_ORDER |
  ModeControl.HostStackUp |
  ModeControl.HostSendRing |
  ModeControl.NoSendPseudoHeader |
  ModeControl.InterruptOnMacAttention;

/**
 * The card's INTx, by tagged status: each status block has a number, and the card interrupts until the host writes back
 * the newest (5722 guide, section 11). What the card is not to interrupt for, it still tells of in the status block.
 */
export class Interrupts {
  private causes: u32 = 0;
  private mode: u32 = MODE;
  /** What was seen at the last acknowledgement. */
  private tag: u32 = 0;
  private sendConsumer: u32 = 0;
  private returnProducer: u32 = 0;

  constructor(
    private readonly registers: Registers,
    private readonly status: StatusBlock,
  ) {}

  /** How the card tells of things, before it does. All causes are silent. */
  prepare(): void {
    const registers = this.registers;
    this.causes = this.tag = this.sendConsumer = this.returnProducer = 0;
    this.mode = MODE | ModeControl.NoInterruptOnReceive | ModeControl.NoInterruptOnSend;
    this.status.clear();
    registers.write(Register.ModeControl, this.mode);
    registers.writeThrough(Register.InterruptMailbox, IN_ISR);
  }

  /** Sets the coalescing engine, which is off, and turns it on. */
  startCoalescing(): void {
    const registers = this.registers;
    registers.write(Register.ReceiveTicks, RECEIVE_TICKS);
    registers.write(Register.SendTicks, SEND_TICKS);
    registers.write(Register.ReceiveCount, RECEIVE_COUNT);
    registers.write(Register.SendCount, SEND_COUNT);
    registers.write(Register.ReceiveCountInIsr, RECEIVE_COUNT);
    registers.write(Register.SendCountInIsr, SEND_COUNT);
    registers.writePair(Register.StatusBlock, this.status.address);
    registers.write(Register.CoalescingMode, COALESCING);
  }

  /** `waiting` says of which causes there is something already: they interrupt at once. */
  listen(causes: u32, waiting: u32): void {
    if (causes == this.causes) return;
    const registers = this.registers;
    const fresh = causes & ~this.causes;
    const turned = (causes == 0) != (this.causes == 0);
    this.causes = causes;
    const mode =
      MODE |
      (causes & Cause.Received ? 0 : ModeControl.NoInterruptOnReceive) |
      (causes & Cause.Sent ? 0 : ModeControl.NoInterruptOnSend);
    if (mode != this.mode) registers.write(Register.ModeControl, mode);
    this.mode = mode;
    if (fresh & Cause.Link) registers.write(Register.MacEvent, LINK_CHANGED);
    else if (!(causes & Cause.Link)) registers.write(Register.MacEvent, 0);
    // Not otherwise: each write takes an interrupt request back.
    if (turned) registers.write(Register.InterruptMailbox, this.mailbox);
    if (fresh & waiting) this.now();
  }

  /** Has the card write a status block and interrupt. */
  now(): void {
    this.registers.write(Register.CoalescingMode, COALESCING | CoalescingMode.Now);
  }

  /** Takes the interrupt request back; returns the causes it had. */
  acknowledge(): u32 {
    // INTx may be faster than the status block: reading a register waits for what the card wrote before.
    if (this.registers.read(Register.InterruptMailbox) == GONE) return 0;
    const status = this.status;
    const tag = status.tag;
    const sent = status.sendConsumer;
    const received = status.returnProducer;
    const causes =
      (received != this.returnProducer ? Cause.Received : 0) |
      (sent != this.sendConsumer ? Cause.Sent : 0) |
      (tag != this.tag && status.linkChanged ? Cause.Link : 0);
    this.tag = tag;
    this.sendConsumer = sent;
    this.returnProducer = received;
    this.registers.write(Register.InterruptMailbox, this.mailbox);
    return causes;
  }

  private get mailbox(): u32 {
    return this.causes ? this.tag << TAG_SHIFT : IN_ISR;
  }
}
