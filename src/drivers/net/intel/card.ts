import { Cause, Frame, FrameReceiver, Handed, NetworkCard, Offload } from "../card";
import { PciFunction } from "../../../pci/config";
import { placeAgain } from "../../../pci/bar";
import { waitMicroseconds } from "../wait";
import { readEepromMac } from "./eeprom";
import { afterReset, beforeReset, FLUSH_REQUIRED, RING_STATUS, setBits } from "./generations";
import { Generation, isPci } from "./ids";
import { BUFFER_SIZE, LEND_SIZE, ReceiveRing } from "./receive";
import { Ctrl, Interrupt, Rctl, Register, Registers, Rxcsum, Status, Tctl, Txdctl } from "./registers";
import { TransmitRing } from "./transmit";

/** Polls of a register before Sheer goes on without what it waits for: some 10 ms on a real card. */
const MAXIMUM_POLLS: u32 = 20_000;
/** Microseconds that a frame may take to drive descriptors out of an I219. */
const PUSH_OUT_TIME: u64 = 250;
/** Far more microseconds than the card needs to write what it has received and not written yet, some 40 KiB. */
const DRAIN_TIME: u64 = 100;
const MULTICAST_DWORDS: u32 = 128;

/** The delay of the interrupt for a frame sent: 4 ms, in units of 1.024 us (10.2.6.9, 10.2.6.12). */
const SENT_DELAY: u32 = 3906;

/** IPGT 10 or 8, and IPGR1 and IPGR2 as each family's manual gives them for copper (10.2.6.2). */
const GAPS_PCI: u32 = 10 | (8 << 10) | (6 << 20);
const GAPS_PCI_EXPRESS: u32 = 8 | (2 << 10) | (7 << 20);

/** A card that does not answer, or an EEPROM without an address. */
const NO_MAC: u64 = 0xffff_ffff_ffff;

/** Everything is received: the guest's own filter is behind this one. */
const RECEPTION: u32 = Rctl.EN | Rctl.UPE | Rctl.MPE | Rctl.BAM | Rctl.SECRC;
const RECEIVED: u32 = Interrupt.RXT0 | Interrupt.RXO;

/** Intel's gigabit cards of the 8254x and 8257x families and their successors in chipsets. The PHY is never reset. */
export class IntelCard extends NetworkCard {
  private readonly registers: Registers;
  private readonly receiveRing: ReceiveRing;
  private readonly transmitRing: TransmitRing;
  /** What the mask register holds, so that it is written only when that changes. */
  private mask: u32 = 0;
  /** Microseconds between interrupts, kept for a card that is set up anew. */
  private interval: u32 = 0;

  constructor(
    private readonly pci: PciFunction,
    base: u64,
    private readonly generation: Generation,
  ) {
    super();
    const registers = new Registers(base);
    this.registers = registers;
    this.receiveRing = new ReceiveRing(registers);
    this.transmitRing = new TransmitRing(registers);
  }

  start(): bool {
    const registers = this.registers;
    if (!registers.present()) return false;
    this.stop();
    return (this.readMac() || this.readEeprom()) && this.setUp();
  }

  isLost(): bool {
    const control = this.registers.read(Register.RCTL);
    if (!(control & Rctl.EN) || !this.registers.present()) return true;
    // One that was off its bus for a while has lost what was written meanwhile.
    return !this.transmitRing.isInStep() || !this.receiveRing.isInStep();
  }
  restart(): bool {
    placeAgain(this.pci, this.registers.base);
    return this.registers.present() && this.setUp();
  }
  abandon(): u32 {
    return this.transmitRing.abandon();
  }

  /** Sets up everything anew, with the MAC address that is known. */
  private setUp(): bool {
    const registers = this.registers;
    const mac = this.mac;
    this.stop();
    if (!this.reset()) return false;
    registers.write(Register.IMC, 0xffff_ffff);
    registers.read(Register.ICR);
    registers.writeMac(mac);
    if (!this.readMac() || this.mac != mac) return false;
    const forced = Ctrl.LRST | Ctrl.ILOS | Ctrl.FRCSPD | Ctrl.FRCDPLX | Ctrl.VME | Ctrl.GioMasterDisable;
    const detection = isPci(this.generation) ? Ctrl.ASDE : 0;
    registers.write(Register.CTRL, (registers.read(Register.CTRL) & ~forced) | Ctrl.SLU | Ctrl.FD | detection);
    setBits(registers, this.generation);
    this.moderate(this.interval);
    this.startReceiving();
    this.startSending();
    return true;
  }

  stop(): void {
    const registers = this.registers;
    registers.write(Register.IMC, 0xffff_ffff);
    this.mask = 0;
    registers.write(Register.RCTL, 0);
    registers.write(Register.TCTL, Tctl.PSP);
    registers.read(Register.STATUS); // so that the writes have arrived
  }

  moved(registers: u64): void {
    this.registers.base = registers;
  }

  usesMessages(): bool {
    return true;
  }

  offloads(): u32 {
    // The 8254x cuts IPv4 only.
    return Offload.Checksum | Offload.Tcp4 | (isPci(this.generation) ? 0 : Offload.Tcp6);
  }

  linkUp(): bool {
    return (this.registers.read(Register.STATUS) & Status.LU) != 0;
  }

  send(frame: Frame, token: u32, prompt: bool): Handed {
    return this.transmitRing.send(frame, token, prompt);
  }
  remind(): void {
    this.transmitRing.remind();
  }
  flush(): void {
    this.transmitRing.flush();
    this.receiveRing.flush();
  }
  reclaim(): u32 {
    return this.transmitRing.reclaim();
  }
  sending(): bool {
    return this.transmitRing.sending;
  }
  forgetSends(): void {
    if (!this.transmitRing.sending) return;
    const registers = this.registers;
    // What the wire takes goes out; without a link nothing does, and the card stops with the frame it is at (10.2.6.1).
    registers.waitFor(Register.TDH, 0xffff_ffff, registers.read(Register.TDT), MAXIMUM_POLLS);
    registers.write(Register.TCTL, Tctl.PSP);
    this.startSending();
  }

  poll(receiver: FrameReceiver): void {
    this.receiveRing.poll(receiver);
  }
  forgetReceived(): void {
    this.receiveRing.poll(null);
  }

  lendSize(): u32 {
    return LEND_SIZE;
  }
  lendReach(): u32 {
    return BUFFER_SIZE;
  }
  borrow(lent: bool): void {
    const registers = this.registers;
    registers.write(Register.RCTL, 0);
    registers.read(Register.STATUS); // so that the write has arrived
    waitMicroseconds(DRAIN_TIME);
    this.receiveRing.start(lent);
    registers.write(Register.RCTL, RECEPTION);
    this.receiveRing.flush();
  }
  lendable(): u32 {
    return this.receiveRing.room;
  }
  lend(address: u64, token: u32): void {
    this.receiveRing.lend(address, token);
  }

  listen(causes: u32): void {
    const mask =
      (causes & Cause.Received ? RECEIVED : 0) |
      (causes & Cause.Sent ? Interrupt.TXDW : 0) |
      (causes & Cause.Link ? Interrupt.LSC : 0);
    if (this.mask & ~mask) this.registers.write(Register.IMC, this.mask & ~mask);
    if (mask & ~this.mask) this.registers.write(Register.IMS, mask & ~this.mask);
    this.mask = mask;
  }

  /** Reading ICR clears it (10.2.4.1): what happens from here on asserts the interrupt again. */
  acknowledge(): u32 {
    const causes = this.registers.read(Register.ICR);
    return (
      (causes & RECEIVED ? Cause.Received : 0) |
      (causes & Interrupt.TXDW ? Cause.Sent : 0) |
      (causes & Interrupt.LSC ? Cause.Link : 0)
    );
  }

  interrupt(): void {
    this.registers.write(Register.ICS, Interrupt.LSC);
  }

  /** In units of 256 ns (10.2.4.2). */
  moderate(interval: u32): void {
    this.interval = interval;
    this.registers.write(Register.ITR, min((interval * 125) / 32, 0xffff));
  }

  private readMac(): bool {
    this.mac = this.registers.readMac();
    return this.mac != 0;
  }

  /** Where the card has not taken its address from there itself (Bochs's 82540EM). */
  private readEeprom(): bool {
    if (this.generation != Generation.Pci) return false;
    this.mac = readEepromMac(this.registers);
    return this.mac != 0 && this.mac != NO_MAC;
  }

  /** Resets all but the PHY and the PCI configuration (10.2.2.1); false if the reset does not end. */
  private reset(): bool {
    const registers = this.registers;
    const control = registers.read(Register.CTRL);
    beforeReset(registers, this.generation);
    if (this.generation == Generation.I219) this.emptyRings();
    if (!isPci(this.generation)) {
      // No request may be under way when the reset comes (5.2, GIO master disable).
      registers.write(Register.CTRL, control | Ctrl.GioMasterDisable);
      registers.waitFor(Register.STATUS, Status.GioMasterEnable, 0, MAXIMUM_POLLS);
    }
    registers.write(Register.CTRL, control | Ctrl.RST);
    afterReset(registers, this.generation);
    return registers.waitFor(Register.CTRL, Ctrl.RST, 0, MAXIMUM_POLLS);
  }

  /** An I219 that is reset with descriptors in it hangs until its power goes: a frame that nobody gets drives them out. */
  private emptyRings(): void {
    const registers = this.registers;
    if (!(this.pci.read16(RING_STATUS) & FLUSH_REQUIRED) || registers.read(Register.TDLEN) == 0) return;
    this.transmitRing.start();
    registers.write(Register.TCTL, Tctl.EN | Tctl.PSP | Tctl.CT | Tctl.COLD);
    this.transmitRing.pushOut();
    waitMicroseconds(PUSH_OUT_TIME);
    registers.write(Register.TCTL, Tctl.PSP);
  }

  private startReceiving(): void {
    const registers = this.registers;
    for (let i: u32 = 0; i < MULTICAST_DWORDS; i++) registers.write(Register.MTA + (i << 2), 0);
    registers.write(Register.RDTR, 0);
    registers.write(Register.RADV, 0);
    registers.write(Register.RXCSUM, Rxcsum.IPOFLD | Rxcsum.TUOFLD);
    this.receiveRing.start(false);
    registers.write(Register.RCTL, RECEPTION);
    this.receiveRing.flush();
  }

  private startSending(): void {
    const registers = this.registers;
    const pci = isPci(this.generation);
    registers.write(Register.TIPG, pci ? GAPS_PCI : GAPS_PCI_EXPRESS);
    registers.write(Register.TIDV, SENT_DELAY);
    registers.write(Register.TADV, SENT_DELAY);
    registers.write(Register.TXDCTL, Txdctl.GRAN | Txdctl.CountDescriptors | Txdctl.WTHRESH1);
    this.transmitRing.start();
    registers.write(Register.TCTL, Tctl.EN | Tctl.PSP | Tctl.CT | Tctl.COLD | (pci ? 0 : Tctl.MULR));
  }
}
