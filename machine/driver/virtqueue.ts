// The driver's side of a virtqueue: Virtio PCI Card Specification 0.9.5, 2.3 and appendix A. Everything that a driver
// may do is a method; the raw setters are for those that it may not.
import type { PhysicalMemory } from "../memory.ts";

export const DescriptorFlag = { Next: 1, Write: 2, Indirect: 4 } as const;
const ALIGNMENT = 4096;
const NO_INTERRUPT = 1;
const NO_NOTIFY = 1;

export interface Descriptor {
  readonly address: number | bigint;
  readonly length: number;
  readonly flags: number;
  readonly next: number;
}

/** One piece of a buffer; `writable` by the device. */
export interface Piece {
  readonly address: number;
  readonly length: number;
  readonly writable: boolean;
}

export interface Used {
  readonly id: number;
  readonly length: number;
}

export class Virtqueue {
  readonly size: number;
  readonly base: number;
  /** Where the available ring and the used ring begin. */
  readonly available: number;
  readonly used: number;
  /** Bytes that the queue takes from `base`. */
  readonly bytes: number;
  /** The driver's own counts: buffers made available, used ones seen. */
  availableIndex = 0;
  usedIndex = 0;
  /** VIRTIO_RING_F_EVENT_IDX was negotiated. */
  eventIndex = false;
  readonly #memory: PhysicalMemory;
  readonly #free: number[];
  readonly #chains = new Map<number, number[]>();

  constructor(memory: PhysicalMemory, base: number, size: number) {
    this.#memory = memory;
    this.base = base;
    this.size = size;
    this.available = base + 16 * size;
    this.used = Math.ceil((this.available + 6 + 2 * size) / ALIGNMENT) * ALIGNMENT;
    this.bytes = Math.ceil((this.used + 6 + 8 * size - base) / ALIGNMENT) * ALIGNMENT;
    this.#free = Array.from({ length: size }, (_, i) => i);
    memory.fill(base, this.bytes, 0);
  }

  /** Descriptors that are not in use. */
  get free(): number {
    return this.#free.length;
  }

  /** Chains descriptors for a buffer and makes it available; returns its head. `publish` shows it to the device. */
  add(pieces: readonly Piece[]): number {
    const chain = this.#free.splice(0, pieces.length);
    if (chain.length < pieces.length) throw new Error("the queue has too few free descriptors");
    pieces.forEach(({ address, length, writable }, i) => {
      const last = i === pieces.length - 1;
      const flags = (last ? 0 : DescriptorFlag.Next) | (writable ? DescriptorFlag.Write : 0);
      this.setDescriptor(chain[i]!, { address, length, flags, next: last ? 0 : chain[i + 1]! });
    });
    this.#chains.set(chain[0]!, chain);
    this.setAvailable(this.availableIndex++, chain[0]!);
    return chain[0]!;
  }

  /** The same through a table of descriptors at `table` (2.3.1, VIRTIO_RING_F_INDIRECT_DESC). */
  addIndirect(pieces: readonly Piece[], table: number): number {
    pieces.forEach(({ address, length, writable }, i) => {
      const last = i === pieces.length - 1;
      const flags = (last ? 0 : DescriptorFlag.Next) | (writable ? DescriptorFlag.Write : 0);
      this.writeDescriptor(table + 16 * i, { address, length, flags, next: last ? 0 : i + 1 });
    });
    const [head] = this.#free.splice(0, 1);
    if (head === undefined) throw new Error("the queue has no free descriptor");
    this.setDescriptor(head, { address: table, length: 16 * pieces.length, flags: DescriptorFlag.Indirect, next: 0 });
    this.#chains.set(head, [head]);
    this.setAvailable(this.availableIndex++, head);
    return head;
  }

  /** Shows the device what was added; true if it wants to be notified (2.4.1.4, A.5). */
  publish(): boolean {
    const before = this.#memory.read16(this.available + 2);
    this.setAvailableIndex(this.availableIndex);
    if (!this.eventIndex) return (this.#memory.read16(this.used) & NO_NOTIFY) === 0;
    const event = this.#memory.read16(this.used + 4 + 8 * this.size);
    return distance(this.availableIndex - 1, event) < distance(this.availableIndex, before);
  }

  /** The buffers that the device has used since the last call; their descriptors are free again. */
  takeUsed(): Used[] {
    const taken: Used[] = [];
    while (this.usedIndex !== this.deviceIndex) {
      const entry = this.used + 4 + 8 * (this.usedIndex % this.size);
      const id = this.#memory.read32(entry);
      taken.push({ id, length: this.#memory.read32(entry + 4) });
      const chain = this.#chains.get(id);
      if (!chain) throw new Error(`the device returned buffer ${id}, which was not available`);
      this.#chains.delete(id);
      this.#free.push(...chain);
      this.usedIndex = (this.usedIndex + 1) & 0xffff;
    }
    return taken;
  }

  /** The device's count of used buffers, modulo 2^16. */
  get deviceIndex(): number {
    return this.#memory.read16(this.used + 2);
  }

  /** Asks for interrupts or forbids them, by the flag or by the event index. */
  wantInterrupts(on: boolean): void {
    this.#memory.write16(this.available, on || this.eventIndex ? 0 : NO_INTERRUPT);
    this.setUsedEvent(on ? this.usedIndex : this.usedIndex - 1);
  }

  /** used_event: the device interrupts when it goes past this index. */
  setUsedEvent(index: number): void {
    this.#memory.write16(this.available + 4 + 2 * this.size, index & 0xffff);
  }

  setDescriptor(index: number, descriptor: Descriptor): void {
    this.writeDescriptor(this.base + 16 * index, descriptor);
  }
  writeDescriptor(at: number, { address, length, flags, next }: Descriptor): void {
    this.#memory.write64(at, BigInt.asUintN(64, BigInt(address)));
    this.#memory.write32(at + 8, length);
    this.#memory.write16(at + 12, flags);
    this.#memory.write16(at + 14, next);
  }
  setAvailable(slot: number, head: number): void {
    this.#memory.write16(this.available + 4 + 2 * (slot % this.size), head);
  }
  setAvailableIndex(index: number): void {
    this.#memory.write16(this.available + 2, index & 0xffff);
  }
}

/** How far an index is past another, modulo 2^16. */
function distance(index: number, from: number): number {
  return (index - from) & 0xffff;
}
