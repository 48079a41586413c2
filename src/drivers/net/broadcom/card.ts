import { pause } from "../../../metal";
import { placeAgain } from "../../../pci/bar";
import { PciFunction } from "../../../pci/config";
import { Cause, Frame, FrameReceiver, Handed, NetworkCard, Offload } from "../card";
import { ATTENTION, CardMemory, ENABLE, GONE, HostControl, MAGIC, Register, Registers } from "./registers";
import { prepareReadDma, startBlocks, startMac, stopBlocks } from "./blocks";
import { Chip, hasPowerManagement } from "./ids";
import { Interrupts } from "./interrupts";
import { Link } from "./link";
import { ReceiveRing } from "./receive";
import { HOST_CONTROL, openCard, resetCard } from "./reset";
import { prepareMac, prepareMemory, prepareRings } from "./rings";
import { StatusBlock } from "./status";
import { TransmitRing } from "./transmit";

/** What marks a MAC address in the card's memory ("HK"). */
const MAC_MARK: u32 = 0x484b;
/** A management processor of its own shares the MAC: such a card is left to a driver that knows it. */
const MANAGEMENT_PROCESSOR: u32 = 1 << 21;
/** Polls until all frames have left the host's memory: some 10 ms. */
const MAXIMUM_POLLS: u32 = 10_000;

/** Broadcom's NetXtreme cards of one port on PCI Express, from the BCM5755 to the BCM57766, by INTx. */
export class BroadcomCard extends NetworkCard {
  private readonly registers: Registers;
  private readonly link: Link;
  private readonly interrupts: Interrupts;
  private readonly receiveRing: ReceiveRing;
  private readonly transmitRing: TransmitRing;
  /** The MAC address as the card's registers hold it. */
  private macHigh: u32 = 0;
  private macLow: u32 = 0;

  constructor(
    pci: PciFunction,
    base: u64,
    private readonly chip: Chip,
  ) {
    super();
    const registers = new Registers(base, pci);
    this.registers = registers;
    this.link = new Link(registers);
    const status = new StatusBlock();
    this.interrupts = new Interrupts(registers, status);
    this.receiveRing = new ReceiveRing(registers, status, chip);
    this.transmitRing = new TransmitRing(registers, status, chip);
  }

  start(): bool {
    const registers = this.registers;
    if (!registers.present()) return false;
    this.stop();
    openCard(registers);
    return this.readMac() && !this.isManaged() && this.setUp();
  }

  isLost(): bool {
    const mode = this.registers.read(Register.WriteDma);
    return !(mode & ENABLE) || mode == GONE || this.receiveRing.broken || this.transmitRing.broken;
  }
  restart(): bool {
    placeAgain(this.registers.pci, this.registers.base);
    return this.registers.present() && this.setUp();
  }
  abandon(): u32 {
    return this.transmitRing.abandon();
  }

  stop(): void {
    const registers = this.registers;
    if (!registers.present()) return;
    registers.write(Register.MiscHostControl, HOST_CONTROL);
    registers.writeThrough(Register.InterruptMailbox, 1);
    stopBlocks(registers);
  }

  moved(registers: u64): void {
    this.registers.base = registers;
  }

  usesMessages(): bool {
    return false;
  }

  offloads(): u32 {
    return Offload.Checksum | Offload.Tcp4 | Offload.Tcp6;
  }

  linkUp(): bool {
    return this.link.up;
  }

  send(frame: Frame, token: u32, prompt: bool): Handed {
    return this.transmitRing.send(frame, token, prompt);
  }
  /** The card has no timer to wait with that is not for frames: it interrupts at once. */
  remind(): void {
    this.interrupts.now();
  }
  flush(): void {
    this.transmitRing.flush();
  }
  reclaim(): u32 {
    return this.transmitRing.reclaim();
  }
  sending(): bool {
    return this.transmitRing.sending;
  }
  forgetSends(): void {
    if (!this.transmitRing.sending) return;
    this.flush();
    // What the card can fetch leaves the memory; else only a reset takes it from the card.
    for (let polls: u32 = 0; polls < MAXIMUM_POLLS; polls++) {
      const consumer = this.registers.read(Register.SendConsumer);
      if (consumer == GONE) return this.transmitRing.reset();
      if (this.transmitRing.isDone(consumer)) return this.transmitRing.forget();
      pause();
    }
    this.setUp();
  }

  poll(receiver: FrameReceiver): void {
    this.receiveRing.poll(receiver);
  }
  forgetReceived(): void {
    this.receiveRing.poll(null);
  }

  listen(causes: u32): void {
    const waiting = (this.receiveRing.waiting ? Cause.Received : 0) | (this.transmitRing.waiting ? Cause.Sent : 0);
    this.interrupts.listen(causes, waiting);
  }
  acknowledge(): u32 {
    const causes = this.interrupts.acknowledge();
    if (causes & Cause.Link) this.link.refresh();
    return causes;
  }
  interrupt(): void {
    this.interrupts.now();
  }

  /** Sets up everything anew, in the order of the guides' initialization procedure. */
  private setUp(): bool {
    const registers = this.registers;
    this.stop();
    if (!resetCard(registers, this.chip)) return false;
    this.receiveRing.reset();
    this.transmitRing.reset();
    this.interrupts.prepare();
    prepareMemory(registers, this.chip);
    registers.write(Register.BufferManager, ENABLE | ATTENTION);
    prepareRings(
      registers,
      this.chip,
      this.receiveRing.standardRing,
      this.receiveRing.returnRing,
      this.transmitRing.descriptors.ring,
    );
    prepareMac(registers, this.chip, this.macHigh, this.macLow);
    prepareReadDma(registers, this.chip);
    this.interrupts.startCoalescing();
    startBlocks(registers, this.chip);
    this.receiveRing.offerAll();
    startMac(registers);
    this.link.start(hasPowerManagement(this.chip));
    registers.write(Register.MiscHostControl, HOST_CONTROL & ~HostControl.MaskInterrupt);
    return registers.present();
  }

  /** From where the boot code has left it in the card's memory, or else from the MAC itself. */
  private readMac(): bool {
    const registers = this.registers;
    let high = registers.readMemory(CardMemory.MacHigh);
    let low = registers.readMemory(CardMemory.MacLow);
    if (high >> 16 != MAC_MARK || !((high & 0xffff) | low)) {
      high = registers.read(Register.MacAddressHigh);
      low = registers.read(Register.MacAddressLow);
    }
    high &= 0xffff;
    this.macHigh = high;
    this.macLow = low;
    this.mac = (bswap<u16>(high as u16) as u64) | ((bswap<u32>(low) as u64) << 16);
    const multicast = (high >> 8) & 1;
    return this.mac != 0 && !multicast;
  }

  private isManaged(): bool {
    const registers = this.registers;
    if (registers.readMemory(CardMemory.Signature) != MAGIC) return false;
    return (registers.readMemory(CardMemory.Configuration) & MANAGEMENT_PROCESSOR) != 0;
  }
}
