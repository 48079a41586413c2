import { allOnes, type Width } from "./bits.ts";

/** Registers of a device at a range of physical addresses. */
export interface MmioDevice {
  readMmio(offset: number, width: Width): number;
  writeMmio(offset: number, width: Width, value: number): void;
}

interface Region {
  readonly base: number;
  readonly end: number;
  readonly device: MmioDevice;
}

interface Range {
  readonly base: number;
  readonly view: DataView;
}

const PAGE = 4096;
/** RAM comes in pieces of this size, each made when it is first touched: most tests use little of it. */
const CHUNK_BITS = 16;
const CHUNK = 1 << CHUNK_BITS;
const enum Kind {
  None,
  Ram,
  Linear,
}

/**
 * Physical memory: RAM from address 0, more RAM anywhere, a window onto the linear memory of the core, and devices.
 * RAM is chosen before devices, as a memory controller does; what nobody claims reads as ones and swallows writes.
 * Addresses are numbers: a machine has fewer than 53 address bits.
 */
export class PhysicalMemory {
  readonly size: number;
  /** Called for each access to a device, before it happens. */
  onMmio: () => void = () => undefined;
  readonly #chunks: (DataView | undefined)[] = [];
  readonly #kinds: Uint8Array;
  #linear = new DataView(new ArrayBuffer(0));
  #linearBase = 0;
  readonly #high: Range[] = [];
  readonly #regions: Region[] = [];

  constructor(size: number) {
    this.size = size;
    this.#kinds = new Uint8Array(size / PAGE).fill(Kind.Ram);
  }

  /** Takes whole pages out of the RAM, as a PC's video window is. */
  punch(base: number, length: number): void {
    this.#kinds.fill(Kind.None, base / PAGE, (base + length) / PAGE);
  }

  /** RAM at another place, above the first. */
  addRam(base: number, length: number): void {
    this.#high.push({ base, view: new DataView(new ArrayBuffer(length)) });
  }

  /** Makes the pages from `base` the linear memory of the core. */
  mapLinear(base: number, buffer: ArrayBuffer): void {
    this.#linear = new DataView(buffer);
    this.#linearBase = base;
    this.#kinds.fill(Kind.Linear, base / PAGE, (base + buffer.byteLength) / PAGE);
  }

  /** Makes a device answer at a range; returns what takes it away again. */
  map(base: number, length: number, device: MmioDevice): () => void {
    const region = { base, end: base + length, device };
    this.#regions.push(region);
    return () => {
      this.#regions.splice(this.#regions.indexOf(region), 1);
    };
  }

  read8(address: number): number {
    const ram = this.#find(address, 1);
    return ram ? ram.getUint8(this.#offset) : this.#read(address, 1);
  }
  read16(address: number): number {
    const ram = this.#find(address, 2);
    return ram ? ram.getUint16(this.#offset, true) : this.#read(address, 2);
  }
  read32(address: number): number {
    const ram = this.#find(address, 4);
    return ram ? ram.getUint32(this.#offset, true) : this.#read(address, 4);
  }
  read64(address: number): bigint {
    const ram = this.#find(address, 8);
    if (ram) return ram.getBigUint64(this.#offset, true);
    return BigInt(this.read32(address)) | (BigInt(this.read32(address + 4)) << 32n);
  }
  read(address: number, width: Width): number {
    return width === 1 ? this.read8(address) : width === 2 ? this.read16(address) : this.read32(address);
  }

  write8(address: number, value: number): void {
    const ram = this.#find(address, 1);
    if (ram) ram.setUint8(this.#offset, value);
    else this.#write(address, 1, value & 0xff);
  }
  write16(address: number, value: number): void {
    const ram = this.#find(address, 2);
    if (ram) ram.setUint16(this.#offset, value, true);
    else this.#write(address, 2, value & 0xffff);
  }
  write32(address: number, value: number): void {
    const ram = this.#find(address, 4);
    if (ram) ram.setUint32(this.#offset, value, true);
    else this.#write(address, 4, value >>> 0);
  }
  write64(address: number, value: bigint): void {
    const ram = this.#find(address, 8);
    if (ram) {
      ram.setBigUint64(this.#offset, value, true);
      return;
    }
    this.write32(address, Number(value & 0xffff_ffffn));
    this.write32(address + 4, Number((value >> 32n) & 0xffff_ffffn));
  }
  write(address: number, width: Width, value: number): void {
    if (width === 1) this.write8(address, value);
    else if (width === 2) this.write16(address, value);
    else this.write32(address, value);
  }

  /** A copy of a range. */
  readBytes(address: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    this.#pieces(address, length, (at, piece, ram) => {
      if (ram) bytes.set(ram, at);
      else for (let i = at; i < at + piece; i++) bytes[i] = this.read8(address + i);
    });
    return bytes;
  }

  writeBytes(address: number, bytes: ArrayLike<number>): void {
    const source = Uint8Array.from(bytes);
    this.#pieces(address, bytes.length, (at, piece, ram) => {
      if (ram) ram.set(source.subarray(at, at + piece));
      else for (let i = at; i < at + piece; i++) this.write8(address + i, source[i]!);
    });
  }

  fill(address: number, length: number, value: number): void {
    this.#pieces(address, length, (at, piece, ram) => {
      if (ram) ram.fill(value);
      else for (let i = at; i < at + piece; i++) this.write8(address + i, value);
    });
  }

  /** Whether every byte of a range is RAM. */
  isRam(address: number, length: number): boolean {
    let ram = true;
    this.#pieces(address, length, (_at, _piece, bytes) => {
      ram &&= bytes !== undefined;
    });
    return ram;
  }

  /** Hands a range over in pieces that lie in one page each; `ram` is undefined where there is none. */
  #pieces(
    address: number,
    length: number,
    use: (at: number, piece: number, ram: Uint8Array | undefined) => void,
  ): void {
    for (let at = 0; at < length;) {
      const piece = Math.min(length - at, PAGE - ((address + at) % PAGE));
      const view = this.#find(address + at, piece);
      use(at, piece, view && new Uint8Array(view.buffer, view.byteOffset + this.#offset, piece));
      at += piece;
    }
  }

  /** Where the last `#find` found its address, in the view it returned. */
  #offset = 0;

  /** The buffer that holds an access which stays in one page; undefined for devices, holes and page-crossing ones. */
  #find(address: number, length: number): DataView | undefined {
    if ((address & (PAGE - 1)) + length > PAGE) return undefined;
    if (address < 0) return undefined;
    if (address >= this.size) return this.#findHigh(address);
    switch (this.#kinds[address >>> 12]) {
      case Kind.Ram:
        this.#offset = address & (CHUNK - 1);
        return (this.#chunks[address >>> CHUNK_BITS] ??= new DataView(new ArrayBuffer(CHUNK)));
      case Kind.Linear:
        this.#offset = address - this.#linearBase;
        return this.#linear;
    }
    return undefined;
  }

  #findHigh(address: number): DataView | undefined {
    const range = this.#high.find(({ base, view }) => address >= base && address < base + view.byteLength);
    if (range) this.#offset = address - range.base;
    return range?.view;
  }

  #read(address: number, width: Width): number {
    if ((address & (PAGE - 1)) + width > PAGE) return this.#readBytewise(address, width);
    const region = this.#regions.find(({ base, end }) => address >= base && address < end);
    if (!region) return allOnes(width);
    this.onMmio();
    return region.device.readMmio(address - region.base, width) >>> 0;
  }

  #readBytewise(address: number, width: Width): number {
    let value = 0;
    for (let i = width - 1; i >= 0; i--) value = value * 256 + this.read8(address + i);
    return value;
  }

  #write(address: number, width: Width, value: number): void {
    if ((address & (PAGE - 1)) + width > PAGE) {
      for (let i = 0; i < width; i++) this.write8(address + i, (value >>> (8 * i)) & 0xff);
      return;
    }
    const region = this.#regions.find(({ base, end }) => address >= base && address < end);
    if (!region) return;
    this.onMmio();
    region.device.writeMmio(address - region.base, width, value);
  }
}
