// The driver's side of a virtio network card: Virtio PCI Card Specification 0.9.5, chapter 2 and appendix C; Virtual I/O
// Device 1.2, chapters 2, 4.1 and 5.1.
// It acts as the guest: every register access is an instruction of the guest.
import { APIC_BASE } from "../apic.ts";
import type { Width } from "../bits.ts";
import { CapabilityId } from "../pci/capabilities.ts";
import { Command, Config } from "../pci/function.ts";
import type { Guest } from "../guest/guest.ts";
import { CONTROL, DeviceStatus, HEADER, LONG_HEADER, NetFeature, NO_VECTOR, RECEIVE, TRANSMIT } from "./layout.ts";
import { type ConfigWay, type GuestPciFunction, scanBus } from "./pci.ts";
import { LegacyTransport, ModernTransport, type Transport } from "./transport.ts";
import { type Piece, Virtqueue } from "./virtqueue.ts";

export { DeviceStatus, NetFeature, NO_VECTOR, RECEIVE, TRANSMIT, Virtio } from "./layout.ts";

const BUFFER = 2048;
const EOI = APIC_BASE + 0xb0;
const MSIX_ENABLE = 0x8000;

/** Interrupt vectors for the three MSI-X entries; without them the card uses INTx. */
export interface Vectors {
  readonly config: number;
  readonly receive: number;
  readonly transmit: number;
}

/** Where I/O registers go that the firmware has given no place. */
const FREE_PORTS = 0x7000;

export interface DriverOptions {
  /** Features to accept of those offered. */
  readonly features?: number;
  readonly vectors?: Vectors;
  readonly way?: ConfigWay;
  /** The bus to look on; 0 unless it says otherwise. */
  readonly bus?: number;
  /** The interface to use; "memory" is the newer one without anything in I/O space. */
  readonly interface?: "legacy" | "modern" | "memory";
  /** Guest memory for queues and buffers: 4 MiB from here on. */
  readonly memory?: number;
}

/** A frame to be sent, and how. */
export interface SendOptions {
  /** struct virtio_net_hdr; zeros if left out. */
  readonly header?: Uint8Array;
  /** Lengths of the pieces into which the frame is cut. */
  readonly cuts?: readonly number[];
  /** Header and frame begin in one descriptor (VIRTIO_F_ANY_LAYOUT). */
  readonly joined?: boolean;
  readonly indirect?: boolean;
}

export class VirtioNetDriver {
  readonly guest: Guest;
  readonly pci: GuestPciFunction;
  readonly options: DriverOptions;
  /** First port of BAR 0. */
  readonly ports: number;
  readonly transport: Transport;
  /** Frames received and not yet taken, and the header of each. */
  readonly frames: Uint8Array[] = [];
  readonly headers: Uint8Array[] = [];
  /** Interrupts taken, by what they were for. */
  readonly interrupts = { config: 0, receive: 0, transmit: 0, line: 0 };
  receiveQueue!: Virtqueue;
  transmitQueue!: Virtqueue;
  /** There if it was agreed on. */
  controlQueue: Virtqueue | undefined;
  headerSize = HEADER;
  features = 0;
  readonly #memory: number;
  #arena: number;
  readonly #buffers = new Map<number, number>();
  readonly #spare: number[] = [];

  /** Finds the card on its bus and turns it on. */
  constructor(guest: Guest, options: DriverOptions = {}) {
    this.guest = guest;
    this.options = options;
    const isVirtioNet = (pci: GuestPciFunction): boolean => pci.read(Config.VendorId, 4) === 0x1000_1af4;
    const found = scanBus(guest, options.way, options.bus).find(isVirtioNet);
    if (!found) throw new Error("no virtio network card on the bus");
    this.pci = found;
    if (this.pci.bar(0) === 0) this.pci.write(Config.Bar0, 4, FREE_PORTS);
    this.pci.write(Config.Command, 2, Command.Io | Command.Memory | Command.BusMaster);
    this.ports = this.pci.bar(0);
    const kind = options.interface ?? "legacy";
    this.transport =
      kind === "legacy"
        ? new LegacyTransport(guest, this.ports, options.vectors !== undefined)
        : new ModernTransport(guest, found, kind === "memory");
    this.#memory = options.memory ?? 0x40_0000;
    this.#arena = this.#memory;
  }

  register(offset: number, width: Width): number {
    return this.guest.in(this.ports + offset, width);
  }
  setRegister(offset: number, width: Width, value: number): void {
    this.guest.out(this.ports + offset, width, value);
  }

  /** Resets the card and brings it up: 2.2.1; 1.2: 3.1.1. */
  start(): void {
    const { vectors, features = NetFeature.Mac | NetFeature.Status } = this.options;
    const { transport } = this;
    this.reset();
    transport.setStatus(DeviceStatus.Acknowledge);
    transport.setStatus(DeviceStatus.Acknowledge | DeviceStatus.Driver);
    this.features = transport.negotiate(features);
    this.headerSize = transport.modern || this.features & NetFeature.MergedBuffers ? LONG_HEADER : HEADER;
    if (vectors) this.#setUpVectors(vectors);
    this.receiveQueue = this.#setUpQueue(RECEIVE, 1);
    this.transmitQueue = this.#setUpQueue(TRANSMIT, 2);
    const controlled = (this.features & NetFeature.ControlQueue) !== 0;
    this.controlQueue = controlled ? this.#setUpQueue(CONTROL, NO_VECTOR) : undefined;
    transport.setStatus(transport.status() | DeviceStatus.DriverOk);
  }

  /** Back to the state after power-up; everything the card held is forgotten. */
  reset(): void {
    this.transport.setStatus(0);
    this.#arena = this.#memory;
    this.#buffers.clear();
    this.#spare.length = 0;
  }

  mac(): number[] {
    return Array.from({ length: 6 }, (_, i) => this.transport.field(i, 1));
  }
  linkUp(): boolean {
    return (this.transport.field(6, 2) & 1) === 1;
  }

  /** A piece of guest memory that is nobody else's. */
  allocate(bytes: number, alignment = 16): number {
    const at = Math.ceil(this.#arena / alignment) * alignment;
    this.#arena = at + bytes;
    return at;
  }

  /** Gives the card buffers to receive into. Each is one descriptor for the header and one for the frame. */
  offerBuffers(count: number, length = BUFFER): void {
    const queue = this.receiveQueue;
    for (let i = 0; i < count && queue.free >= 2; i++) {
      const buffer = this.#spare.pop() ?? this.allocate(LONG_HEADER + BUFFER);
      const head = queue.add([
        { address: buffer, length: this.headerSize, writable: true },
        { address: buffer + this.headerSize, length, writable: true },
      ]);
      this.#buffers.set(head, buffer);
    }
    this.kick(RECEIVE);
  }

  /** Sends a frame. */
  send(frame: ArrayLike<number>, options: SendOptions = {}): void {
    this.queue(frame, options);
    this.kick(TRANSMIT);
  }

  /** Puts a frame into the transmit queue without showing it to the card. */
  queue(frame: ArrayLike<number>, { header, cuts = [], joined = false, indirect = false }: SendOptions = {}): void {
    const { memory } = this.guest.processor;
    const { headerSize } = this;
    const buffer = this.allocate(headerSize + frame.length);
    memory.fill(buffer, headerSize, 0);
    if (header) memory.writeBytes(buffer, header);
    memory.writeBytes(buffer + headerSize, frame);
    const lengths = [...cuts, frame.length - cuts.reduce((sum, cut) => sum + cut, 0)].filter((length) => length > 0);
    const pieces: Piece[] = [];
    let at = buffer;
    const [first = 0, ...rest] = lengths;
    for (const length of joined ? [headerSize + first, ...rest] : [headerSize, ...lengths]) {
      pieces.push({ address: at, length, writable: false });
      at += length;
    }
    if (indirect) this.transmitQueue.addIndirect(pieces, this.allocate(16 * pieces.length));
    else this.transmitQueue.add(pieces);
  }

  /** Shows the card a queue's new buffers and notifies it if it wants that. */
  kick(queue: typeof RECEIVE | typeof TRANSMIT): void {
    const wanted = (queue === RECEIVE ? this.receiveQueue : this.transmitQueue).publish();
    if (wanted) this.transport.notify(queue);
  }

  /** Takes what the card has put into the receive queue to `frames`, and gives the buffers back if `refill`. */
  collect(refill = true): Uint8Array[] {
    const { memory } = this.guest.processor;
    const used = this.receiveQueue.takeUsed();
    const frames = used.map(({ id, length }) => {
      const buffer = this.#buffers.get(id)!;
      this.#buffers.delete(id);
      this.#spare.push(buffer);
      this.headers.push(memory.readBytes(buffer, this.headerSize));
      return memory.readBytes(buffer + this.headerSize, Math.max(length - this.headerSize, 0));
    });
    if (refill && used.length) this.offerBuffers(used.length);
    this.frames.push(...frames);
    return frames;
  }

  /** Frames collected since the last call, by interrupts or otherwise. */
  takeFrames(): Uint8Array[] {
    this.collect();
    return this.frames.splice(0);
  }

  /** The ISR status, which a read clears (2.2.2.1). */
  isr(): number {
    return this.transport.isr();
  }

  /** The handler of an INTx line: works only if the ISR status says so. */
  onLine(): void {
    this.interrupts.line++;
    const isr = this.isr();
    if (isr & 1) this.collect();
    this.guest.write32(EOI, 0);
  }

  #setUpQueue(index: number, vector: number): Virtqueue {
    const size = this.transport.queueSize(index);
    if (size === 0) throw new Error(`the card has no queue ${index}`);
    const probe = this.allocate(0, 4096);
    const queue = new Virtqueue(this.guest.processor.memory, probe, size);
    this.allocate(queue.bytes, 4096);
    queue.eventIndex = (this.features & NetFeature.EventIndex) !== 0;
    if (this.options.vectors) this.transport.setQueueVector(index, vector);
    this.transport.place(index, queue);
    return queue;
  }

  /** MSI-X: the table first, then the switch, then which entry is for what (2.2.2.2). */
  #setUpVectors(vectors: Vectors): void {
    const capability = this.#msix();
    this.pci.write(capability + 2, 2, MSIX_ENABLE);
    [vectors.config, vectors.receive, vectors.transmit].forEach((vector, entry) => this.setVector(entry, vector));
    this.transport.setConfigVector(0);
    const acknowledging = (action: () => void) => (): void => {
      action();
      this.guest.write32(EOI, 0);
    };
    const { handlers } = this.guest.processor;
    handlers.set(
      vectors.config,
      acknowledging(() => this.interrupts.config++),
    );
    handlers.set(
      vectors.receive,
      acknowledging(() => {
        this.interrupts.receive++;
        this.collect();
      }),
    );
    handlers.set(
      vectors.transmit,
      acknowledging(() => {
        this.interrupts.transmit++;
        this.transmitQueue.takeUsed();
      }),
    );
  }

  #msix(): number {
    const capability = this.pci.capability(CapabilityId.MsiX);
    if (capability === undefined) throw new Error("the card has no MSI-X");
    return capability;
  }

  /** Address of an entry of the MSI-X table. */
  tableEntry(entry: number): number {
    const table = this.pci.read(this.#msix() + 4, 4);
    return this.pci.bar(table & 7) + (table & ~7) + 16 * entry;
  }

  /** Programs an entry of the MSI-X table for a vector of this processor, unmasked. */
  setVector(entry: number, vector: number): void {
    const at = this.tableEntry(entry);
    this.guest.write32(at, APIC_BASE);
    this.guest.write32(at + 4, 0);
    this.guest.write32(at + 8, vector);
    this.guest.write32(at + 12, 0);
  }
}
