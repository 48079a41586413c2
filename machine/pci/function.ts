// One PCI function: its configuration space (PCI Local Bus Specification 3.0, chapter 6), base address registers and DMA.
import { allOnes, truncate, type Width } from "../bits.ts";
import type { MmioDevice } from "../memory.ts";
import type { PortDevice } from "../ports.ts";

export const Config = {
  VendorId: 0x00,
  DeviceId: 0x02,
  Command: 0x04,
  Status: 0x06,
  Revision: 0x08,
  ClassCode: 0x09,
  HeaderType: 0x0e,
  Bar0: 0x10,
  SubsystemVendor: 0x2c,
  SubsystemId: 0x2e,
  ExpansionRom: 0x30,
  Capabilities: 0x34,
  InterruptLine: 0x3c,
  InterruptPin: 0x3d,
} as const;

export const Command = { Io: 1 << 0, Memory: 1 << 1, BusMaster: 1 << 2, InterruptDisable: 1 << 10 } as const;
const COMMAND_WRITABLE = 0x0547;
const STATUS_CAPABILITIES = 1 << 4;
const STATUS_INTERRUPT = 1 << 3;
const CONVENTIONAL_SIZE = 256;
export const EXPRESS_SIZE = 4096;

export interface Identity {
  readonly vendor: number;
  readonly device: number;
  readonly revision?: number;
  /** Base class, subclass and programming interface, 24 bits. */
  readonly classCode: number;
  readonly subsystemVendor?: number;
  readonly subsystem?: number;
  /** INTA is 1; 0 for none. */
  readonly interruptPin?: number;
  /** PCI Express functions have 4 KiB of configuration space. */
  readonly express?: boolean;
}

/** What a function needs from the machine around it. */
export interface PciHost {
  mapMemory(base: number, length: number, device: MmioDevice): () => void;
  mapPorts(base: number, length: number, device: PortDevice): () => void;
  interruptLine(source: PciFunction, asserted: boolean): void;
  /** A device writes memory; in the message space that is an interrupt message. */
  message(address: number, data: number): void;
  dmaRead(source: PciFunction, address: number, length: number): Uint8Array;
  dmaWrite(source: PciFunction, address: number, bytes: ArrayLike<number>): void;
}

interface Bar {
  readonly index: number;
  readonly size: number;
  readonly map: (host: PciHost, base: number) => () => void;
  readonly io: boolean;
  readonly wide: boolean;
  unmap?: () => void;
  base?: number;
}

export class PciFunction {
  readonly config: Uint8Array;
  /** Bits of each byte that software may change. */
  readonly writable: Uint8Array;
  /** Where the function sits, bus 15:8, device 7:3, function 2:0; set when it is attached. */
  address = 0;
  host: PciHost | undefined;
  readonly #bars: Bar[] = [];
  readonly #listeners: (() => void)[] = [];
  #asserted = false;
  #last = Config.Capabilities as number;

  constructor(identity: Identity) {
    const size = identity.express ? EXPRESS_SIZE : CONVENTIONAL_SIZE;
    this.config = new Uint8Array(size);
    this.writable = new Uint8Array(size);
    this.set(Config.VendorId, 2, identity.vendor);
    this.set(Config.DeviceId, 2, identity.device);
    this.set(Config.Revision, 1, identity.revision ?? 0);
    this.set(Config.ClassCode, 1, identity.classCode & 0xff);
    this.set(Config.ClassCode + 1, 2, identity.classCode >> 8);
    this.set(Config.SubsystemVendor, 2, identity.subsystemVendor ?? 0);
    this.set(Config.SubsystemId, 2, identity.subsystem ?? 0);
    this.set(Config.InterruptPin, 1, identity.interruptPin ?? 0);
    this.allowWrites(Config.Command, 2, COMMAND_WRITABLE);
    this.allowWrites(Config.InterruptLine, 1, 0xff);
  }

  get command(): number {
    return this.get(Config.Command, 2);
  }
  get interruptPin(): number {
    return this.get(Config.InterruptPin, 1);
  }
  /** The state of INTx as the rest of the machine sees it. */
  get interruptAsserted(): boolean {
    return this.#asserted && (this.command & Command.InterruptDisable) === 0;
  }

  get(offset: number, width: Width): number {
    let value = 0;
    for (let i = width - 1; i >= 0; i--) value = value * 256 + (this.config[offset + i] ?? 0);
    return value;
  }

  /** Sets configuration bytes as the device itself, whatever software may change. */
  set(offset: number, width: Width, value: number): void {
    for (let i = 0; i < width; i++) this.config[offset + i] = (value >>> (8 * i)) & 0xff;
  }

  allowWrites(offset: number, width: Width, mask: number): void {
    for (let i = 0; i < width; i++) this.writable[offset + i] = (mask >>> (8 * i)) & 0xff;
  }

  /** Adds a capability of `length` bytes at `offset` to the end of the list; its body is for the caller to set. */
  addCapability(id: number, offset: number, length: number): void {
    this.set(Config.Status, 2, this.get(Config.Status, 2) | STATUS_CAPABILITIES);
    this.config.fill(0, offset, offset + length);
    this.config[offset] = id;
    this.config[this.#last] = offset;
    this.#last = offset + 1;
  }

  addMemoryBar(index: number, size: number, device: MmioDevice, wide = false): void {
    this.#addBar({ index, size, io: false, wide, map: (host, base) => host.mapMemory(base, size, device) });
  }

  addPortBar(index: number, size: number, device: PortDevice): void {
    this.#addBar({ index, size, io: true, wide: false, map: (host, base) => host.mapPorts(base, size, device) });
  }

  /** Calls `listener` after each write by software. */
  onConfigWrite(listener: () => void): void {
    this.#listeners.push(listener);
  }

  readConfig(offset: number, width: Width): number {
    return offset + width > this.config.length ? allOnes(width) : this.get(offset, width);
  }

  writeConfig(offset: number, width: Width, value: number): void {
    if (offset + width > this.config.length) return;
    const wasAsserted = this.interruptAsserted;
    for (let i = 0; i < width; i++) {
      const mask = this.writable[offset + i]!;
      const byte = (truncate(value, width) >>> (8 * i)) & 0xff;
      this.config[offset + i] = (this.config[offset + i]! & ~mask) | (byte & mask);
    }
    this.#decode();
    for (const listener of this.#listeners) listener();
    if (wasAsserted !== this.interruptAsserted) this.host?.interruptLine(this, this.interruptAsserted);
  }

  /** Asserts or releases the function's INTx. */
  setInterrupt(asserted: boolean): void {
    const before = this.interruptAsserted;
    this.#asserted = asserted;
    const status = this.get(Config.Status, 2) & ~STATUS_INTERRUPT;
    this.set(Config.Status, 2, status | (asserted ? STATUS_INTERRUPT : 0));
    if (before !== this.interruptAsserted) this.host?.interruptLine(this, this.interruptAsserted);
  }

  /** Memory as this function's DMA sees it: nothing while it may not be bus master. */
  dmaRead(address: number, length: number): Uint8Array {
    if (this.host && this.command & Command.BusMaster) return this.host.dmaRead(this, address, length);
    return new Uint8Array(length).fill(0xff);
  }

  dmaWrite(address: number, bytes: ArrayLike<number>): void {
    if (this.host && this.command & Command.BusMaster) this.host.dmaWrite(this, address, bytes);
  }

  /** Sends an interrupt message, which is a DMA write like any other. */
  sendMessage(address: number, data: number): void {
    if (this.command & Command.BusMaster) this.host?.message(address, data);
  }

  #addBar(bar: Bar): void {
    const offset = Config.Bar0 + 4 * bar.index;
    this.set(offset, 4, bar.io ? 1 : bar.wide ? 4 : 0);
    this.allowWrites(offset, 4, ~(bar.size - 1) & (bar.io ? 0xffff_fffc : 0xffff_fff0));
    if (bar.wide) this.allowWrites(offset + 4, 4, 0xffff_ffff);
    this.#bars.push(bar);
  }

  /** Makes each BAR answer where it now is, if the command register lets it. */
  #decode(): void {
    for (const bar of this.#bars) {
      const base = this.#barBase(bar);
      if (base === bar.base) continue;
      bar.unmap?.();
      bar.base = base;
      bar.unmap = base === undefined ? undefined : this.host && bar.map(this.host, base);
    }
  }

  #barBase(bar: Bar): number | undefined {
    const offset = Config.Bar0 + 4 * bar.index;
    if ((this.command & (bar.io ? Command.Io : Command.Memory)) === 0) return undefined;
    const low = this.get(offset, 4) - (this.get(offset, 4) % (bar.io ? 4 : 16));
    const base = bar.wide ? low + this.get(offset + 4, 4) * 2 ** 32 : low;
    const beyond = bar.io ? base + bar.size > 0x1_0000 : false;
    return base === 0 || beyond ? undefined : base;
  }
}
