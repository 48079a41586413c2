// How a driver reaches a virtio device: by the legacy registers in I/O space (Virtio PCI Card Specification 0.9.5, 2.2.2)
// or by the structures that its vendor capabilities name (Virtual I/O Device 1.2, 4.1.4).
import type { Width } from "../bits.ts";
import type { Guest } from "../guest/guest.ts";
import { CapType, Common, DeviceStatus, VERSION_1, Virtio } from "./layout.ts";
import type { GuestPciFunction } from "./pci.ts";
import type { Virtqueue } from "./virtqueue.ts";

const VENDOR = 0x09;
const UPPER = 2 ** 32;

const BEGUN = DeviceStatus.Acknowledge | DeviceStatus.Driver;

export interface Transport {
  readonly modern: boolean;
  status(): number;
  setStatus(status: number): void;
  /** Accepts those of bits 31:0 that are offered and wanted, and says so; returns them. */
  negotiate(wanted: number): number;
  /** Descriptors that a queue has; 0 if there is no such queue. */
  queueSize(queue: number): number;
  /** Tells where a queue is, and has the device use it. */
  place(queue: number, ring: Virtqueue): void;
  setConfigVector(vector: number): void;
  setQueueVector(queue: number, vector: number): void;
  notify(queue: number): void;
  /** The ISR status, which a read clears. */
  isr(): number;
  /** A field of the device's own. */
  field(offset: number, width: Width): number;
}

export class LegacyTransport implements Transport {
  readonly modern = false;
  readonly #guest: Guest;
  readonly #ports: number;
  readonly #fields: number;

  /** With `vectors` (MSI-X is on) the device's own fields are further up. */
  constructor(guest: Guest, ports: number, vectors: boolean) {
    this.#guest = guest;
    this.#ports = ports;
    this.#fields = vectors ? 24 : 20;
  }
  #in(offset: number, width: Width): number {
    return this.#guest.in(this.#ports + offset, width);
  }
  #out(offset: number, width: Width, value: number): void {
    this.#guest.out(this.#ports + offset, width, value);
  }

  status(): number {
    return this.#in(Virtio.Status, 1);
  }
  setStatus(status: number): void {
    this.#out(Virtio.Status, 1, status);
  }
  negotiate(wanted: number): number {
    const features = this.#in(Virtio.DeviceFeatures, 4) & wanted;
    this.#out(Virtio.GuestFeatures, 4, features);
    return features;
  }
  queueSize(queue: number): number {
    this.#out(Virtio.QueueSelect, 2, queue);
    return this.#in(Virtio.QueueSize, 2);
  }
  place(queue: number, ring: Virtqueue): void {
    this.#out(Virtio.QueueSelect, 2, queue);
    this.#out(Virtio.QueueAddress, 4, ring.base / 4096);
  }
  setConfigVector(vector: number): void {
    this.#out(Virtio.ConfigVector, 2, vector);
  }
  setQueueVector(queue: number, vector: number): void {
    this.#out(Virtio.QueueSelect, 2, queue);
    this.#out(Virtio.QueueVector, 2, vector);
  }
  notify(queue: number): void {
    this.#out(Virtio.QueueNotify, 2, queue);
  }
  isr(): number {
    return this.#in(Virtio.Isr, 1);
  }
  field(offset: number, width: Width): number {
    return this.#in(this.#fields + offset, width);
  }
}

/** A structure of registers that a capability names. */
export interface Structure {
  readonly type: number;
  /** Where the capability itself is. */
  readonly at: number;
  readonly bar: number;
  readonly offset: number;
  readonly length: number;
  /** For notifications: what a queue's notify offset is multiplied by. */
  readonly multiplier: number;
}

/** All structures that the device's capabilities name, in the order of the list. */
export function structures(pci: GuestPciFunction): Structure[] {
  return pci.capabilities(VENDOR).map((at) => ({
    type: pci.read(at + 3, 1),
    at,
    bar: pci.read(at + 4, 1),
    offset: pci.read(at + 8, 4),
    length: pci.read(at + 12, 4),
    multiplier: pci.read(at + 3, 1) === CapType.Notify ? pci.read(at + 16, 4) : 0,
  }));
}

export class ModernTransport implements Transport {
  readonly modern = true;
  readonly #guest: Guest;
  readonly #pci: GuestPciFunction;
  readonly #structures: readonly Structure[];

  /** With `memoryOnly` the driver can use no structure that lies in I/O space. */
  constructor(guest: Guest, pci: GuestPciFunction, memoryOnly = false) {
    this.#guest = guest;
    this.#pci = pci;
    this.#structures = structures(pci).filter(({ bar, type }) => {
      return type === CapType.Access || !memoryOnly || !this.#isIo(bar);
    });
  }

  #isIo(bar: number): boolean {
    return (this.#pci.read(0x10 + 4 * bar, 4) & 1) === 1;
  }
  /** The first structure of a type, which is the one to be used. */
  structure(type: number): Structure {
    const found = this.#structures.find((each) => each.type === type);
    if (!found) throw new Error(`the device has no structure of type ${type}`);
    return found;
  }
  read(type: number, offset: number, width: Width): number {
    const { bar, offset: from } = this.structure(type);
    const at = this.#pci.bar(bar) + from + offset;
    return this.#isIo(bar) ? this.#guest.in(at, width) : Number(this.#guest.read(at, width));
  }
  write(type: number, offset: number, width: Width, value: number): void {
    const { bar, offset: from } = this.structure(type);
    const at = this.#pci.bar(bar) + from + offset;
    if (this.#isIo(bar)) this.#guest.out(at, width, value);
    else this.#guest.write(at, width, value);
  }
  #common(offset: number, width: Width): number {
    return this.read(CapType.Common, offset, width);
  }
  #setCommon(offset: number, width: Width, value: number): void {
    this.write(CapType.Common, offset, width, value);
  }

  status(): number {
    return this.#common(Common.Status, 1);
  }
  setStatus(status: number): void {
    this.#setCommon(Common.Status, 1, status);
  }
  features(half: 0 | 1): number {
    this.#setCommon(Common.DeviceFeatureSelect, 4, half);
    return this.#common(Common.DeviceFeature, 4);
  }
  accept(half: 0 | 1, features: number): void {
    this.#setCommon(Common.DriverFeatureSelect, 4, half);
    this.#setCommon(Common.DriverFeature, 4, features >>> 0);
  }
  negotiate(wanted: number): number {
    const features = this.features(0) & wanted;
    this.accept(0, features);
    this.accept(1, this.features(1) & VERSION_1);
    this.setStatus(BEGUN | DeviceStatus.FeaturesOk);
    if (!(this.status() & DeviceStatus.FeaturesOk)) throw new Error("the device refuses the features");
    return features;
  }
  queueSize(queue: number): number {
    this.#setCommon(Common.QueueSelect, 2, queue);
    return this.#common(Common.QueueSize, 2);
  }
  place(queue: number, ring: Virtqueue): void {
    this.#setCommon(Common.QueueSelect, 2, queue);
    this.#setCommon(Common.QueueSize, 2, ring.size);
    for (const [offset, place] of [
      [Common.QueueDescriptors, ring.base],
      [Common.QueueDriver, ring.available],
      [Common.QueueDevice, ring.used],
    ] as const) {
      this.#setCommon(offset, 4, place % UPPER);
      this.#setCommon(offset + 4, 4, Math.floor(place / UPPER));
    }
    this.#setCommon(Common.QueueEnable, 2, 1);
  }
  setConfigVector(vector: number): void {
    this.#setCommon(Common.ConfigVector, 2, vector);
  }
  setQueueVector(queue: number, vector: number): void {
    this.#setCommon(Common.QueueSelect, 2, queue);
    this.#setCommon(Common.QueueVector, 2, vector);
  }
  notify(queue: number): void {
    this.#setCommon(Common.QueueSelect, 2, queue);
    const offset = this.#common(Common.QueueNotifyOffset, 2);
    this.write(CapType.Notify, offset * this.structure(CapType.Notify).multiplier, 2, queue);
  }
  isr(): number {
    return this.read(CapType.Isr, 0, 1);
  }
  field(offset: number, width: Width): number {
    return this.read(CapType.Device, offset, width);
  }
}
