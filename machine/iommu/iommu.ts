import type { MmioDevice, PhysicalMemory } from "../memory.ts";

/** What stands between devices and memory. */
export interface Iommu {
  /** Its registers, and where they lie. */
  readonly registers: MmioDevice;
  readonly base: number;
  readonly size: number;
  /** Signature and contents, behind the header, of the ACPI table that tells of it. */
  readonly acpi: { readonly signature: string; readonly body: Uint8Array };
  /** Where an access of a function to one page goes; undefined if it is refused. */
  translate(device: number, address: number, write: boolean): number | undefined;
}

/** One register access, for tests of their order. */
export interface RegisterWrite {
  readonly offset: number;
  readonly value: bigint;
}

/** Which rights an access needs of every table entry on its way, and what an entry says. */
export interface Entry {
  readonly readable: boolean;
  readonly writable: boolean;
  /** The page, or else the table below. */
  readonly page: boolean;
  readonly address: number;
}

/** Walks tables of 512 entries from `level` down; undefined if an entry refuses the access or says what none may. */
export function walk(
  memory: PhysicalMemory,
  root: number,
  levels: number,
  address: number,
  write: boolean,
  read: (entry: bigint, level: number) => Entry | undefined,
): number | undefined {
  let table = root;
  for (let level = levels; level > 0; level--) {
    const size = 2 ** (3 + 9 * level);
    const entry = read(memory.read64(table + 8 * (Math.floor(address / size) % 512)), level);
    if (!entry || !(write ? entry.writable : entry.readable)) return undefined;
    if (entry.page) return entry.address % size ? undefined : entry.address + (address % size);
    table = entry.address;
  }
  return undefined;
}

/** Registers of 4 and 8 bytes over a buffer, with what some of them do when they are written. */
export class Registers implements MmioDevice {
  readonly bytes: DataView;
  /** Every write, in order, whole: one of 8 bytes comes as two of 4. */
  readonly writes: RegisterWrite[] = [];
  readonly #onWrite: (offset: number, value: number) => void;

  constructor(size: number, onWrite: (offset: number, value: number) => void) {
    this.bytes = new DataView(new ArrayBuffer(size));
    this.#onWrite = onWrite;
  }

  get32(offset: number): number {
    return this.bytes.getUint32(offset, true);
  }
  get64(offset: number): bigint {
    return this.bytes.getBigUint64(offset, true);
  }
  set32(offset: number, value: number): void {
    this.bytes.setUint32(offset, value, true);
  }
  set64(offset: number, value: bigint): void {
    this.bytes.setBigUint64(offset, value, true);
  }

  readMmio(offset: number, width: number): number {
    if (width !== 4) throw new Error(`a register of an IOMMU is read with ${width} bytes`);
    return this.get32(offset);
  }
  writeMmio(offset: number, width: number, value: number): void {
    if (width !== 4) throw new Error(`a register of an IOMMU is written with ${width} bytes`);
    this.writes.push({ offset, value: BigInt(value >>> 0) });
    this.#onWrite(offset, value >>> 0);
  }
}
