// Capabilities of PCI functions: PCI Local Bus Specification 3.0, chapters 6.7 and 6.8; PCI Express Base Specification, 7.8.
import { truncate, type Width } from "../bits.ts";
import type { MmioDevice } from "../memory.ts";
import type { PciFunction } from "./function.ts";

export const CapabilityId = { PowerManagement: 0x01, Msi: 0x05, Express: 0x10, MsiX: 0x11 } as const;

/** PCI Power Management Interface Specification 1.2: D0 and D3hot by software. */
export function addPowerManagement(pci: PciFunction, offset: number): void {
  pci.addCapability(CapabilityId.PowerManagement, offset, 8);
  pci.set(offset + 2, 2, 0xc822);
  pci.allowWrites(offset + 4, 2, 0x8103);
}

/** A PCI Express endpoint with one lane. */
export function addExpress(pci: PciFunction, offset: number): void {
  pci.addCapability(CapabilityId.Express, offset, 0x14);
  pci.set(offset + 2, 2, 0x0001);
  pci.set(offset + 4, 4, 0x0000_8cc1);
  pci.set(offset + 0xc, 4, 0x0000_0411);
  pci.set(offset + 0x12, 2, 0x1011);
  pci.allowWrites(offset + 8, 2, 0x7fff);
  pci.allowWrites(offset + 0x10, 2, 0x01fb);
}

/** Message signalled interrupts with one vector and 64 address bits. */
export class Msi {
  readonly #pci: PciFunction;
  readonly #offset: number;

  constructor(pci: PciFunction, offset: number) {
    this.#pci = pci;
    this.#offset = offset;
    pci.addCapability(CapabilityId.Msi, offset, 14);
    pci.set(offset + 2, 2, 0x0080);
    pci.allowWrites(offset + 2, 2, 0x0001);
    pci.allowWrites(offset + 4, 4, 0xffff_fffc);
    pci.allowWrites(offset + 8, 4, 0xffff_ffff);
    pci.allowWrites(offset + 12, 2, 0xffff);
  }

  get enabled(): boolean {
    return (this.#pci.get(this.#offset + 2, 2) & 1) === 1;
  }

  /** As a reset of the function does. */
  disable(): void {
    this.#pci.set(this.#offset + 2, 2, this.#pci.get(this.#offset + 2, 2) & ~1);
  }

  send(): void {
    const address = this.#pci.get(this.#offset + 4, 4) + this.#pci.get(this.#offset + 8, 4) * 2 ** 32;
    this.#pci.sendMessage(address, this.#pci.get(this.#offset + 12, 2));
  }
}

const ENTRY = 16;
const CONTROL_ENABLE = 1 << 15;
const CONTROL_MASK = 1 << 14;

/** MSI-X: the capability, and the table and pending bits as registers of the memory BAR that holds them. */
export class MsiX implements MmioDevice {
  readonly #pci: PciFunction;
  readonly #offset: number;
  readonly #pendingAt: number;
  readonly #table: DataView;
  #pending = 0;

  constructor(pci: PciFunction, offset: number, bar: number, vectors: number, pendingAt: number) {
    this.#pci = pci;
    this.#offset = offset;
    this.#pendingAt = pendingAt;
    this.#table = new DataView(new ArrayBuffer(vectors * ENTRY));
    for (let vector = 0; vector < vectors; vector++) this.#table.setUint32(vector * ENTRY + 12, 1, true);
    pci.addCapability(CapabilityId.MsiX, offset, 12);
    pci.set(offset + 2, 2, vectors - 1);
    pci.allowWrites(offset + 2, 2, CONTROL_ENABLE | CONTROL_MASK);
    pci.set(offset + 4, 4, bar);
    pci.set(offset + 8, 4, pendingAt | bar);
    pci.onConfigWrite(() => this.#flush());
  }

  get enabled(): boolean {
    return (this.#pci.get(this.#offset + 2, 2) & CONTROL_ENABLE) !== 0;
  }

  /** Sends a vector's message, or remembers it while the vector or the function is masked. */
  send(vector: number): void {
    if ((vector + 1) * ENTRY > this.#table.byteLength) return;
    this.#pending |= 1 << vector;
    this.#flush();
  }

  readMmio(offset: number, width: Width): number {
    if (offset >= this.#pendingAt) return offset === this.#pendingAt ? truncate(this.#pending, width) : 0;
    return offset + 4 <= this.#table.byteLength ? truncate(this.#table.getUint32(offset, true), width) : 0;
  }

  writeMmio(offset: number, _width: Width, value: number): void {
    if (offset + 4 > this.#table.byteLength) return;
    this.#table.setUint32(offset & ~3, offset % ENTRY === 12 ? value & 1 : value, true);
    this.#flush();
  }

  #flush(): void {
    const masked = (this.#pci.get(this.#offset + 2, 2) & CONTROL_MASK) !== 0;
    if (!this.enabled || masked) return;
    for (let vector = 0; vector * ENTRY < this.#table.byteLength; vector++) {
      const entry = vector * ENTRY;
      if (!(this.#pending & (1 << vector)) || this.#table.getUint32(entry + 12, true) & 1) continue;
      this.#pending &= ~(1 << vector);
      const high = this.#table.getUint32(entry + 4, true);
      this.#pci.sendMessage(
        this.#table.getUint32(entry, true) + high * 2 ** 32,
        this.#table.getUint32(entry + 8, true),
      );
    }
  }
}
