// Broadcom's NetXtreme cards of PCI Express, the BCM5755's generation and the BCM57765's, in what a driver needs: one ring
// each way in the host's memory, INTx with tagged status. It is strict: what a real card would not take, in this order or at
// this time, fails the test (order.ts).
import { allOnes, type Width } from "../bits.ts";
import type { Clock } from "../clock.ts";
import type { MmioDevice } from "../memory.ts";
import type { NetworkCard } from "../net/card.ts";
import { Wire } from "../net/wire.ts";
import { addExpress, addPowerManagement, Msi } from "../pci/capabilities.ts";
import { Command, Config, PciFunction } from "../pci/function.ts";
import { Coalescing } from "./coalescing.ts";
import { noFaults } from "./faults.ts";
import { BootCode } from "./firmware.ts";
import { type BroadcomModel, MODELS, type ModelFacts } from "./models.ts";
import { Order } from "./order.ts";
import { Phy, type Speed } from "./phy.ts";
import { Receiver } from "./receive.ts";
import { CoalescingMode, HostControl, LINK_CHANGED, MiscConfiguration, Reg } from "./registers.ts";
import type { CardState } from "./state.ts";
import { Transmitter } from "./transmit.ts";

export interface BroadcomOptions {
  readonly model: BroadcomModel;
  readonly mac?: readonly number[];
  /** Time that the PHY takes to find a link, in nanoseconds. */
  readonly linkDelay?: number;
}

const BROADCOM = 0x14e4;
const REGISTERS = 0x1_0000;
const RESET_TIME = 1_000_000;
const MILLISECOND = 1_000_000;
const DEFAULT_MAC = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];
/** MISC_HOST_CONTROL and what follows it are registers of configuration space and of the card. */
const CONFIG_REGISTERS: ReadonlySet<number> = new Set([Reg.MiscHostControl, Reg.DmaReadWriteControl]);
const PRESCALER_66_MHZ = 65 << 1;
const FIFO_FIX = 1 << 2;
const TAGGED_AND_SWAPPED = HostControl.WordSwap | HostControl.Tagged;
/** Device control of the PCI Express capability: relaxed ordering and no snoop, which are on after a reset. */
const EXPRESS = 0xac;
const LOOSE_ORDER = (1 << 4) | (1 << 11);
const DISABLE_CACHE_ALIGNMENT = 1 << 0;

/** Registers with side effects; every other is plain storage. */
interface Handler {
  readonly read?: () => number;
  readonly write?: (value: number) => void;
}

export class Broadcom implements MmioDevice, NetworkCard {
  readonly pci: PciFunction;
  readonly wire = new Wire();
  readonly faults = noFaults();
  readonly mac: readonly number[];
  readonly facts: ModelFacts;
  readonly order: Order;
  readonly boot: BootCode;
  readonly phy: Phy;
  readonly coalescing: Coalescing;
  readonly transmitter: Transmitter;
  readonly receiver: Receiver;
  readonly #words = new Map<number, number>();
  readonly #handlers: ReadonlyMap<number, Handler>;

  constructor(clock: Clock, { model, mac = DEFAULT_MAC, linkDelay = MILLISECOND }: BroadcomOptions) {
    this.mac = mac;
    this.facts = MODELS[model];
    this.pci = this.#newFunction();
    this.order = new Order(clock, (register) => this.#get(register));
    this.boot = new BootCode(clock, this.order, this.faults, mac);
    this.phy = new Phy(clock, this.order, linkDelay);
    const { pci, wire, faults, facts, order, boot } = this;
    const get = (register: number): number => this.#get(register);
    const set = (register: number, value: number): void => void this.#words.set(register, value);
    this.coalescing = new Coalescing({ clock, pci, faults, order, get });
    const state: CardState = { facts, clock, pci, wire, faults, order, boot, coalescing: this.coalescing, get, set };
    this.transmitter = new Transmitter(state);
    this.receiver = new Receiver(state);
    this.wire.toCard = (frame) => this.#receive(frame);
    this.phy.onLink = () => this.#linkChanged();
    this.#handlers = this.#table();
    this.pci.onConfigWrite(() => this.coalescing.maskChanged());
    this.#powerUp();
  }

  get linkUp(): boolean {
    return this.phy.linkUp;
  }
  get interruptCount(): number {
    return this.coalescing.interruptCount;
  }

  setCable(plugged: boolean): void {
    this.connect(plugged ? 1000 : undefined);
  }
  /** What is at the other end of the cable. */
  connect(speed: Speed | undefined): void {
    this.phy.connect(speed);
  }

  place(memory: number): void {
    this.pci.writeConfig(Config.Bar0, 4, memory);
    this.pci.writeConfig(Config.Bar0 + 8, 4, memory + REGISTERS);
  }

  powerCycle(): void {
    this.pci.writeConfig(Config.Command, 2, 0);
    for (let bar = 0; bar < 4; bar++) this.pci.writeConfig(Config.Bar0 + 4 * bar, 4, 0);
    this.#powerUp();
    this.phy.connect(this.phy.partner);
  }

  readMmio(offset: number, width: Width): number {
    if (this.faults.allOnes) return allOnes(width);
    if (width !== 4 || offset & 3) this.order.violate(`a read of ${width} bytes at ${offset.toString(16)}`);
    this.order.access();
    this.coalescing.flush();
    return this.#handlers.get(offset)?.read?.() ?? this.#get(offset);
  }

  writeMmio(offset: number, width: Width, value: number): void {
    if (this.faults.allOnes) return;
    if (width !== 4 || offset & 3) this.order.violate(`a write of ${width} bytes at ${offset.toString(16)}`);
    this.order.write(offset, value);
    const handler = this.#handlers.get(offset);
    if (handler?.write) handler.write(value);
    else this.#set(offset, value);
  }

  #get(register: number): number {
    return CONFIG_REGISTERS.has(register) ? this.pci.get(register, 4) : (this.#words.get(register) ?? 0);
  }
  #set(register: number, value: number): void {
    if (CONFIG_REGISTERS.has(register)) this.pci.writeConfig(register, 4, value);
    else this.#words.set(register, value);
  }

  #newFunction(): PciFunction {
    const identity = { vendor: BROADCOM, device: this.facts.device, revision: 1, classCode: 0x02_0000 };
    const pci = new PciFunction({ ...identity, subsystemVendor: BROADCOM, interruptPin: 1, express: true });
    pci.addMemoryBar(0, REGISTERS, this, true);
    pci.addMemoryBar(2, REGISTERS, { readMmio: (_, width) => allOnes(width), writeMmio: () => undefined }, true);
    addPowerManagement(pci, 0x48);
    new Msi(pci, 0x58);
    addExpress(pci, EXPRESS);
    pci.set(EXPRESS + 8, 2, 0x2000 | LOOSE_ORDER);
    pci.allowWrites(Reg.MiscHostControl, 2, 0x03ff);
    pci.allowWrites(Reg.DmaReadWriteControl, 4, 0xffff_ffff);
    return pci;
  }

  #powerUp(): void {
    this.#clear();
    this.#words.set(Reg.MemoryArbiter, 2);
    this.boot.leave(); // it has long done its work when drivers come
    this.#restore();
  }

  /** What the boot code leaves: the MAC address in its registers, LEDs, the MAC clock. */
  #restore(): void {
    const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = this.mac;
    this.#words.set(Reg.MacAddress, (a << 8) | b);
    this.#words.set(Reg.MacAddress + 4, ((c << 24) | (d << 16) | (e << 8) | f) >>> 0);
  }

  #clear(): void {
    this.#words.clear();
    this.pci.set(Reg.MiscHostControl, 2, 0);
    this.coalescing.reset();
    this.transmitter.reset();
    this.receiver.reset();
    this.#linkChanged();
  }

  /** The core clock's reset: the card is deaf for a while, and the command register is cleared. */
  #reset(value: number): void {
    const { order, boot, facts } = this;
    if (!boot.announced) order.violate("a reset that the boot code is not told of: it would reset the PHY");
    if (!boot.mayReset) order.violate("a reset without the NVRAM: the boot code may be reading it");
    if (this.#get(Reg.FastBootPc) !== 0) order.violate("a reset with a fast boot address");
    if (!(value & MiscConfiguration.KeepPcie)) order.violate("a reset of the PCI Express core");
    const keeps = (value & MiscConfiguration.KeepPhyPower) !== 0;
    if (keeps === facts.powerManagement) order.violate("a reset with the PHY's power in the wrong hands");
    if (!(this.#get(Reg.MiscHostControl) & HostControl.Mask)) order.violate("a reset with interrupts on");
    this.#clear();
    this.#words.set(Reg.FastBootPc, 1);
    this.pci.writeConfig(Config.Command, 2, this.pci.command & ~(Command.Memory | Command.BusMaster | Command.Io));
    order.reset(RESET_TIME);
    boot.start(() => this.#restore());
  }

  #receive(frame: Uint8Array): boolean {
    return this.phy.linkUp && !this.faults.allOnes && this.receiver.receive(frame, this.phy.partner!);
  }

  #linkChanged(): void {
    const link = this.phy.linkUp ? 1 << 3 : 0;
    this.#words.set(Reg.TransmitStatus, link);
    this.#words.set(Reg.MacStatus, (this.#words.get(Reg.MacStatus) ?? 0) | LINK_CHANGED);
    this.coalescing.attention();
  }

  #table(): ReadonlyMap<number, Handler> {
    const { boot, coalescing, phy, order } = this;
    const set =
      (register: number) =>
      (value: number): void =>
        this.#set(register, value);
    return new Map<number, Handler>([
      [Reg.MemoryWindowBase, { read: () => boot.window, write: (value) => boot.setWindow(value) }],
      [Reg.MemoryWindowData, { read: () => boot.read(), write: (value) => boot.write(value) }],
      [Reg.NvramArbitration, { read: () => boot.arbitration, write: (value) => boot.arbitrate(value) }],
      [Reg.InterruptMailbox, { read: () => coalescing.mailbox, write: (value) => coalescing.acknowledge(value) }],
      [
        Reg.StandardProducer,
        { write: (value) => this.#then(Reg.StandardProducer, value, () => this.receiver.offer(value)) },
      ],
      [
        Reg.ReturnConsumer,
        { write: (value) => this.#then(Reg.ReturnConsumer, value, () => this.receiver.consumed(value)) },
      ],
      [
        Reg.SendProducer,
        { write: (value) => this.#then(Reg.SendProducer, value, () => this.transmitter.offer(value)) },
      ],
      [
        Reg.ReturnProducer,
        { read: () => coalescing.returnProducer, write: () => order.violate("a write to an index") },
      ],
      [Reg.SendConsumer, { read: () => coalescing.sendConsumer, write: () => order.violate("a write to an index") }],
      [Reg.MacStatus, { write: (value) => set(Reg.MacStatus)(this.#get(Reg.MacStatus) & ~value) }],
      [Reg.MacEvent, { write: (value) => this.#then(Reg.MacEvent, value, () => coalescing.attention()) }],
      [Reg.MiCommunication, { read: () => phy.communication, write: (value) => phy.access(value) }],
      [Reg.TransmitStatus, { write: () => order.violate("a write to the transmit status") }],
      [Reg.CoalescingMode, { write: (value) => this.#writeCoalescing(value) }],
      [Reg.MiscConfiguration, { write: (value) => this.#writeMisc(value) }],
      ...this.#enableHandlers(),
    ]);
  }

  /** Enable bits that are stuck when the card is out of order. */
  #enableHandlers(): [number, Handler][] {
    const blocks = [Reg.ReceiveMode, Reg.TransmitMode, Reg.WriteDma, Reg.ReadDma, Reg.SendBdSelector];
    return blocks.map((register) => [
      register,
      { write: (value) => this.#set(register, this.faults.neverStops ? value | (this.#get(register) & 2) : value) },
    ]);
  }

  #then(register: number, value: number, act: () => void): void {
    this.#set(register, value);
    act();
  }

  #writeCoalescing(value: number): void {
    const before = this.#get(Reg.CoalescingMode);
    if (value & 2 && !(before & 2)) this.#checkBeforeCoalescing(value);
    this.#set(Reg.CoalescingMode, value & ~CoalescingMode.Now);
    if (value & CoalescingMode.Now) this.coalescing.now(value);
  }

  /** What the engine relies on from its first status block on. */
  #checkBeforeCoalescing(value: number): void {
    const { order, facts, pci } = this;
    if ((this.#get(Reg.MiscConfiguration) & MiscConfiguration.Prescaler) !== PRESCALER_66_MHZ) {
      order.violate("timers with a wrong clock");
    }
    const control = this.#get(Reg.MiscHostControl);
    if ((control & TAGGED_AND_SWAPPED) !== TAGGED_AND_SWAPPED) order.violate("status blocks without tags");
    const clear = CoalescingMode.ClearReceiveTicks | CoalescingMode.ClearSendTicks;
    if ((value & clear) !== clear) order.violate("ticks that run without an event");
    const block = pci.dmaRead(this.#get(Reg.StatusBlock) * 2 ** 32 + this.#get(Reg.StatusBlockLow), 20);
    if (block.some((byte) => byte !== 0)) order.violate("an old status block in the host's memory");
    if (pci.get(EXPRESS + 8, 2) & LOOSE_ORDER) order.violate("a status block that may come before what it tells of");
    if (facts.from57765 && !this.#get(Reg.StandardReplenish)) order.violate("no limit for replenishing buffers");
    if (facts.from57765 && !(this.#get(Reg.DmaReadWriteControl) & DISABLE_CACHE_ALIGNMENT)) {
      order.violate("writes split at cache lines");
    }
    if (facts.fifoFix && !(this.#get(Reg.ReadDmaReserved) & FIFO_FIX)) order.violate("a FIFO that overflows");
  }

  #writeMisc(value: number): void {
    if (value & MiscConfiguration.Reset) this.#reset(value);
    else this.#set(Reg.MiscConfiguration, value);
  }
}
