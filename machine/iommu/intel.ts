// A DMA remapping unit (Intel Virtualization Technology for Directed I/O, 4.1): legacy mode, invalidation by registers,
// primary fault logging with one record. It caches what it has read, and no more than it may, until it is told to forget.
import type { PhysicalMemory } from "../memory.ts";
import { type Entry, type Iommu, Registers, walk } from "./iommu.ts";

export const INTEL_IOMMU_BASE = 0xfed9_0000;
/** Chapter 11.4. */
export const IntelRegister = {
  Version: 0x00,
  Capability: 0x08,
  ExtendedCapability: 0x10,
  GlobalCommand: 0x18,
  GlobalStatus: 0x1c,
  RootTable: 0x20,
  ContextCommand: 0x28,
  FaultStatus: 0x34,
  ProtectedMemory: 0x64,
  IotlbInvalidate: 0xf8,
  Fault: 0x220,
} as const;
const R = IntelRegister;
const TRANSLATION = 0x8000_0000;
const SET_ROOT = 0x4000_0000;
const FLUSH_BUFFER = 0x0800_0000;
const PENDING = 0x8000_0000;

export interface IntelOptions {
  /** Levels of page tables. */
  readonly levels?: number;
  readonly pagesOf1G?: boolean;
  /** What Global Status says at power-on. */
  readonly status?: number;
  readonly majorVersion?: number;
  /** It never finishes this register's commands. */
  readonly deaf?: number;
}

export class IntelIommu implements Iommu {
  readonly base = INTEL_IOMMU_BASE;
  readonly size = 4096;
  readonly registers: Registers;
  readonly #memory: PhysicalMemory;
  readonly #options: IntelOptions;
  #root = 0;
  #contextsFresh = false;
  #iotlbFresh = false;

  constructor(memory: PhysicalMemory, options: IntelOptions = {}) {
    this.#memory = memory;
    this.#options = options;
    this.registers = new Registers(this.size, (offset, value) => this.#write(offset, value));
    const { levels = 3, pagesOf1G = true, status = 0, majorVersion = 1 } = options;
    this.registers.set32(R.Version, majorVersion << 4);
    const widths = 1n << BigInt(8 + levels - 2);
    const largePages = (1n << 34n) | (pagesOf1G ? 1n << 35n : 0n);
    const faults = BigInt(R.Fault >> 4) << 24n;
    this.registers.set64(R.Capability, widths | (38n << 16n) | largePages | faults | (1n << 4n));
    this.registers.set64(R.ExtendedCapability, BigInt((R.IotlbInvalidate - 8) >> 4) << 8n);
    this.registers.set32(R.GlobalStatus, status);
    this.registers.set32(R.ProtectedMemory, 0x8000_0001);
  }

  get acpi(): Iommu["acpi"] {
    // Host address width 39, then one DRHD for all functions.
    const body = new Uint8Array(12 + 16);
    body[0] = 38;
    const drhd = new DataView(body.buffer, 12);
    drhd.setUint16(2, 16, true);
    drhd.setUint8(4, 1);
    drhd.setBigUint64(8, BigInt(this.base), true);
    return { signature: "DMAR", body };
  }

  get translating(): boolean {
    return (this.registers.get32(R.GlobalStatus) & TRANSLATION) !== 0;
  }

  translate(device: number, address: number, write: boolean): number | undefined {
    if (!this.translating) return address;
    const found = this.#find(device, address, write);
    if (found === undefined) this.#record(device, address, write);
    return found;
  }

  #find(device: number, address: number, write: boolean): number | undefined {
    const root = this.#memory.read64(this.#root + 16 * (device >> 8));
    if (!(root & 1n) || root & 0xffen || this.#memory.read64(this.#root + 16 * (device >> 8) + 8)) return undefined;
    const at = Number(root & ~0xfffn) + 16 * (device & 0xff);
    const [low, high] = [this.#memory.read64(at), this.#memory.read64(at + 8)];
    // Present, faults are logged, translation type 0, no reserved bit, a width that the unit has, a domain.
    if ((low & 0xfffn) !== 1n || high & ~0xff_ff07n) return undefined;
    const levels = Number(high & 7n) + 2;
    if (levels !== (this.#options.levels ?? 3) || !(high >> 8n) || address >= 2 ** (12 + 9 * levels)) return undefined;
    return walk(this.#memory, Number(low & ~0xfffn), levels, address, write, (entry, level) =>
      this.#entry(entry, level),
    );
  }

  /** 9.8: second-stage paging entries. */
  #entry(entry: bigint, level: number): Entry | undefined {
    const large = (entry & 0x80n) !== 0n;
    const largest = (this.#options.pagesOf1G ?? true) ? 3 : 2;
    if (large && (level === 1 || level > largest)) return undefined;
    return {
      readable: (entry & 1n) !== 0n,
      writable: (entry & 2n) !== 0n,
      page: large || level === 1,
      address: Number(entry & 0x000f_ffff_ffff_f000n),
    };
  }

  /** 7.2.1: while the record is pending, further faults set the overflow bit. */
  #record(device: number, address: number, write: boolean): void {
    const { registers } = this;
    if (registers.get32(R.Fault + 12) & PENDING) {
      registers.set32(R.FaultStatus, registers.get32(R.FaultStatus) | 1);
      return;
    }
    registers.set64(R.Fault, BigInt(address) & ~0xfffn);
    registers.set32(R.Fault + 8, device);
    registers.set32(R.Fault + 12, (PENDING | (write ? 0 : 0x4000_0000) | (write ? 5 : 6)) >>> 0);
  }

  #write(offset: number, value: number): void {
    const { registers } = this;
    const deaf = this.#options.deaf === offset;
    switch (offset) {
      case R.GlobalCommand:
        if (!deaf) this.#command(value);
        return;
      case R.RootTable:
      case R.RootTable + 4:
      case R.ContextCommand:
      case R.IotlbInvalidate:
        registers.set32(offset, value);
        return;
      case R.ContextCommand + 4:
        if ((value & 0xe000_0000) >>> 0 === 0xa000_0000) this.#contextsFresh = true;
        registers.set32(offset, deaf ? value : (value & 0x7fff_ffff) >>> 0);
        return;
      case R.IotlbInvalidate + 4:
        if (value >>> 28 === 9 && this.#contextsFresh) this.#iotlbFresh = true;
        registers.set32(offset, (value & 0x7fff_ffff) >>> 0);
        return;
      case R.ProtectedMemory:
        registers.set32(offset, value);
        return;
      case R.FaultStatus:
        registers.set32(offset, registers.get32(offset) & ~(value & 1));
        return;
      case R.Fault + 12:
        if (value & PENDING) registers.set32(offset, registers.get32(offset) & ~PENDING);
        return;
      default:
        throw new Error(`register 0x${offset.toString(16)} of the IOMMU is written`);
    }
  }

  /** 11.4.4: one command at a time, and the others as the status has them. */
  #command(value: number): void {
    const { registers } = this;
    const status = registers.get32(R.GlobalStatus) & 0x96ff_ffff;
    const changed = ((value ^ status) & ~FLUSH_BUFFER) >>> 0;
    if (changed & (changed - 1)) throw new Error("two commands at a time");
    let now = registers.get32(R.GlobalStatus);
    if (value & SET_ROOT) {
      this.#root = Number(registers.get64(R.RootTable) & ~0xfffn);
      this.#contextsFresh = this.#iotlbFresh = false;
      now |= SET_ROOT;
    }
    if (value & TRANSLATION && !this.#iotlbFresh) throw new Error("translation begins with stale caches");
    now = value & TRANSLATION ? now | TRANSLATION : now & ~TRANSLATION;
    registers.set32(R.GlobalStatus, now);
  }
}
