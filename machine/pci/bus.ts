// The host bridge: configuration mechanism #1 (PCI Local Bus Specification 3.0, 3.2.2.3.2), the memory-mapped one
// (PCI Express Base Specification, 7.2.2), and what functions reach of the machine.
import { allOnes, type Width } from "../bits.ts";
import type { Iommu } from "../iommu/iommu.ts";
import type { IoApic } from "../ioapic.ts";
import type { MmioDevice, PhysicalMemory } from "../memory.ts";
import type { PortDevice, PortSpace } from "../ports.ts";
import { MESSAGE_SPACE } from "../apic.ts";
import { routeBehind } from "./bridge.ts";
import { Config, PciFunction, type PciHost } from "./function.ts";

export const ECAM_BASE = 0xb000_0000;
export const ECAM_BUSES = 256;
const PAGE = 4096;
/** A second segment, with fewer buses, that only memory reaches. */
export const ECAM_BASE_1 = 0xa000_0000;
export const ECAM_BUSES_1 = 16;
const SEGMENT_1 = 0x1_0000;
const CONFIG_PORTS = 0xcf8;
const ADDRESS_ENABLE = 0x8000_0000;

/** One access of a device to memory. */
export interface DmaAccess {
  readonly source: PciFunction;
  readonly address: number;
  readonly length: number;
  readonly write: boolean;
}

export interface BusOptions {
  readonly memory: PhysicalMemory;
  readonly ports: PortSpace;
  readonly ioApic: IoApic;
  readonly message: (address: number, data: number) => void;
}

/** Address of a function as buses write it; a segment other than 0 above. */
export function pciAddress(bus: number, device: number, func: number): number {
  return (bus << 8) | (device << 3) | func;
}

export class PciBus implements PciHost {
  /** Told of every DMA access; throwing makes it a test's failure. */
  onDma: (access: DmaAccess) => void = () => undefined;
  /** What stands between devices and memory. */
  iommu: Iommu | undefined;
  readonly #functions = new Map<number, PciFunction>();
  readonly #memory: PhysicalMemory;
  readonly #ports: PortSpace;
  readonly #ioApic: IoApic;
  readonly #message: (address: number, data: number) => void;
  /** Functions that pull each input of the I/O APIC. */
  readonly #lines = new Map<number, Set<PciFunction>>();
  #address = 0;

  constructor({ memory, ports, ioApic, message }: BusOptions) {
    this.#memory = memory;
    this.#ports = ports;
    this.#ioApic = ioApic;
    this.#message = message;
    ports.add(CONFIG_PORTS, 8, this.#mechanism1());
    memory.map(ECAM_BASE, ECAM_BUSES << 20, this.#ecam(0));
    memory.map(ECAM_BASE_1, ECAM_BUSES_1 << 20, this.#ecam(SEGMENT_1));
  }

  attach(pci: PciFunction, device: number, func = 0, bus = 0): void {
    pci.address = pciAddress(bus, device, func);
    pci.host = this;
    this.#functions.set(pci.address, pci);
  }

  /** Takes a function away, as if it had never been there. */
  detach(pci: PciFunction): void {
    pci.writeConfig(Config.Command, 2, 0);
    this.#functions.delete(pci.address);
  }

  functions(): PciFunction[] {
    return [...this.#functions.values()];
  }

  /** The function that a configuration access to this address reaches. */
  find(address: number): PciFunction | undefined {
    const segment = [...this.#functions.values()].filter((other) => other.address >>> 16 === address >>> 16);
    // The host bridge's own buses take what is for them; only other numbers reach bridges.
    const own = segment.some((other) => other.address >>> 8 === address >>> 8);
    return own ? this.#functions.get(address) : routeBehind(segment, address);
  }

  /** The input of the I/O APIC that a function's INTx is wired to. */
  inputOf(pci: PciFunction): number {
    return 16 + ((((pci.address >> 3) & 31) + pci.interruptPin - 1) & 7);
  }

  mapMemory(base: number, length: number, device: MmioDevice): () => void {
    return this.#memory.map(base, length, device);
  }

  mapPorts(base: number, length: number, device: PortDevice): () => void {
    return this.#ports.add(base, length, device);
  }

  interruptLine(source: PciFunction, asserted: boolean): void {
    const input = this.inputOf(source);
    const pulling = this.#lines.get(input) ?? new Set();
    this.#lines.set(input, pulling);
    if (asserted) pulling.add(source);
    else pulling.delete(source);
    this.#ioApic.set(input, pulling.size > 0);
  }

  message(address: number, data: number): void {
    if (address >= MESSAGE_SPACE.base && address < MESSAGE_SPACE.end) this.#message(address, data);
    else this.#memory.write32(address, data);
  }

  dmaRead(source: PciFunction, address: number, length: number): Uint8Array {
    this.onDma({ source, address, length, write: false });
    const bytes = new Uint8Array(length).fill(0xff);
    this.#translate(source, address, length, false, (at, target, piece) => {
      bytes.set(this.#memory.readBytes(target, piece), at);
    });
    return bytes;
  }

  dmaWrite(source: PciFunction, address: number, bytes: ArrayLike<number>): void {
    this.onDma({ source, address, length: bytes.length, write: true });
    this.#translate(source, address, bytes.length, true, (at, target, piece) => {
      this.#memory.writeBytes(target, Array.prototype.slice.call(bytes, at, at + piece) as number[]);
    });
  }

  /** Hands over the pieces of an access that the IOMMU lets through, each in one page. */
  #translate(
    source: PciFunction,
    address: number,
    length: number,
    write: boolean,
    use: (at: number, target: number, piece: number) => void,
  ): void {
    if (!this.iommu) return use(0, address, length);
    for (let at = 0; at < length;) {
      const piece = Math.min(length - at, PAGE - ((address + at) % PAGE));
      const target = this.iommu.translate(source.address, address + at, write);
      if (target !== undefined) use(at, target, piece);
      at += piece;
    }
  }

  #read(address: number, offset: number, width: Width): number {
    return this.find(address)?.readConfig(offset, width) ?? allOnes(width);
  }

  #mechanism1(): PortDevice {
    const target = (): number => (this.#address >>> 8) & 0xffff;
    return {
      readPort: (offset, width) => {
        if (offset === 0 && width === 4) return this.#address;
        if (offset < 4 || !(this.#address & ADDRESS_ENABLE)) return allOnes(width);
        return this.#read(target(), (this.#address & 0xfc) + offset - 4, width);
      },
      writePort: (offset, width, value) => {
        if (offset === 0 && width === 4) this.#address = (value & 0x80ff_fffc) >>> 0;
        if (offset < 4 || !(this.#address & ADDRESS_ENABLE)) return;
        this.find(target())?.writeConfig((this.#address & 0xfc) + offset - 4, width, value);
      },
    };
  }

  #ecam(segment: number): MmioDevice {
    const target = (offset: number): number => segment | (offset >>> 12);
    return {
      readMmio: (offset, width) => this.#read(target(offset), offset & 0xfff, width),
      writeMmio: (offset, width, value) => this.find(target(offset))?.writeConfig(offset & 0xfff, width, value),
    };
  }
}
