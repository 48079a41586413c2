// An AMD IOMMU (AMD I/O Virtualization Technology Specification, 48882): device table, host page tables, command buffer with
// INVALIDATE_IOMMU_ALL and COMPLETION_WAIT, event log.
import type { PhysicalMemory } from "../memory.ts";
import { type Entry, type Iommu, Registers, walk } from "./iommu.ts";

export const AMD_IOMMU_BASE = 0xfed8_0000;
/** Its own function, 00:00.2. */
export const AMD_IOMMU_DEVICE = 2;
/** Section 3.4. */
export const AmdRegister = {
  DeviceTable: 0x0000,
  CommandBuffer: 0x0008,
  EventLog: 0x0010,
  Control: 0x0018,
  Features: 0x0030,
  CommandHead: 0x2000,
  CommandTail: 0x2008,
  EventHead: 0x2010,
  EventTail: 0x2018,
  Status: 0x2020,
} as const;
const R = AmdRegister;
const ENABLE = 1;
const EVENTS = 1 << 2;
const COMMANDS = 1 << 12;

export interface AmdOptions {
  /** What the control register says at power-on. */
  readonly control?: number;
  /** It has INVALIDATE_IOMMU_ALL. */
  readonly invalidateAll?: boolean;
  /** It never comes to a command. */
  readonly deaf?: boolean;
  /** Device entries of its IVHD block; all functions up to 00:1f.7, if it is left out. */
  readonly entries?: readonly number[];
}

export class AmdIommu implements Iommu {
  readonly base = AMD_IOMMU_BASE;
  readonly size = 0x4000;
  readonly registers: Registers;
  /** Operations of the commands that it carried out. */
  readonly commands: number[] = [];
  readonly #memory: PhysicalMemory;
  readonly #options: AmdOptions;

  constructor(memory: PhysicalMemory, options: AmdOptions = {}) {
    this.#memory = memory;
    this.#options = options;
    this.registers = new Registers(this.size, (offset, value) => this.#write(offset, value));
    this.registers.set32(R.Control, options.control ?? 0);
    this.registers.set32(R.Features, (options.invalidateAll ?? true) ? 1 << 6 : 0);
  }

  get acpi(): Iommu["acpi"] {
    // Range 00:00.0 to 00:1f.7; the flags say that the unit looks into the caches.
    const entries = this.#options.entries ?? [3, 0, 0, 0, 4, 0xff, 0, 0];
    const body = new Uint8Array(12 + 24 + entries.length);
    const ivhd = new DataView(body.buffer, 12);
    ivhd.setUint8(0, 0x10);
    ivhd.setUint8(1, 1 << 5);
    ivhd.setUint16(2, 24 + entries.length, true);
    ivhd.setUint16(4, AMD_IOMMU_DEVICE, true);
    ivhd.setBigUint64(8, BigInt(this.base), true);
    body.set(entries, 36);
    return { signature: "IVRS", body };
  }

  get translating(): boolean {
    return (this.registers.get32(R.Control) & ENABLE) !== 0;
  }

  translate(device: number, address: number, write: boolean): number | undefined {
    if (!this.translating) return address;
    const found = this.#find(device, address, write);
    if (found === undefined) this.#log(device, address);
    return found;
  }

  /** The four qwords of a device table entry. */
  deviceEntry(device: number): bigint[] {
    const table = this.registers.get64(R.DeviceTable);
    if (device * 32 >= (Number(table & 0x1ffn) + 1) * 4096) throw new Error("beyond the device table");
    const at = Number(table & 0x000f_ffff_ffff_f000n) + 32 * device;
    return [0, 8, 16, 24].map((offset) => this.#memory.read64(at + offset));
  }

  #find(device: number, address: number, write: boolean): number | undefined {
    const [first, second, third] = this.deviceEntry(device) as [bigint, bigint, bigint];
    if (!(first & 1n)) return address;
    // Translation valid, a domain, no interrupt remapping, no reserved bits where it has the table's mode.
    if (!(first & 2n) || !(second & 0xffffn) || third & 1n) return undefined;
    if (!((first >> (write ? 62n : 61n)) & 1n)) return undefined;
    const levels = Number((first >> 9n) & 7n);
    if (levels === 0 || levels > 6 || address >= 2 ** (12 + 9 * levels)) return undefined;
    const root = Number(first & 0x000f_ffff_ffff_f000n);
    return walk(this.#memory, root, levels, address, write, (entry, level) => this.#entry(entry, level));
  }

  /** 2.2.3: an entry says what level is below; none may be skipped here. */
  #entry(entry: bigint, level: number): Entry | undefined {
    const next = Number((entry >> 9n) & 7n);
    if (!(entry & 1n) || (next !== 0 && next !== level - 1)) return undefined;
    return {
      readable: ((entry >> 61n) & 1n) !== 0n,
      writable: ((entry >> 62n) & 1n) !== 0n,
      page: next === 0,
      address: Number(entry & 0x000f_ffff_ffff_f000n),
    };
  }

  /** 2.5: IO_PAGE_FAULT, 16 bytes in a ring; a full one sets EventOverflow and stops the log. */
  #log(device: number, address: number): void {
    const { registers } = this;
    if (!(registers.get32(R.Control) & EVENTS) || registers.get32(R.Status) & 1) return;
    const tail = registers.get32(R.EventTail);
    const next = (tail + 16) % this.#ringSize(R.EventLog);
    if (next === registers.get32(R.EventHead)) {
      registers.set32(R.Status, registers.get32(R.Status) | 1);
      return;
    }
    const at = this.#ring(R.EventLog) + tail;
    this.#memory.write64(at, BigInt(device) | (2n << 60n));
    this.#memory.write64(at + 8, BigInt(address));
    registers.set32(R.EventTail, next);
  }

  #ring(register: number): number {
    return Number(this.registers.get64(register) & 0x000f_ffff_ffff_f000n);
  }
  #ringSize(register: number): number {
    return 16 * 2 ** Number((this.registers.get64(register) >> 56n) & 15n);
  }

  #write(offset: number, value: number): void {
    const { registers } = this;
    const before = registers.get32(R.Control);
    if (offset === R.Status) {
      registers.set32(offset, registers.get32(offset) & ~(value & 1));
      return;
    }
    const events = offset >= R.EventLog && offset < R.Control && !(before & EVENTS);
    if (before & ENABLE && offset < R.Control && !events) throw new Error("a table moves while it is in use");
    registers.set32(offset, value);
    if (offset === R.Control && value & ENABLE && !registers.get64(R.DeviceTable)) throw new Error("no device table");
    if (offset === R.CommandTail) this.#run();
  }

  #run(): void {
    const { registers } = this;
    if (this.#options.deaf || !(registers.get32(R.Control) & COMMANDS) || !this.translating) return;
    let head = registers.get32(R.CommandHead);
    for (; head !== registers.get32(R.CommandTail); head = (head + 16) % this.#ringSize(R.CommandBuffer)) {
      const at = this.#ring(R.CommandBuffer) + head;
      const [first, second] = [this.#memory.read64(at), this.#memory.read64(at + 8)];
      const operation = Number(first >> 60n);
      this.commands.push(operation);
      if (operation === 1 && first & 1n) this.#memory.write64(Number(first & 0x000f_ffff_ffff_fff8n), second);
      else if (operation !== 8 || !(this.#options.invalidateAll ?? true)) throw new Error(`command ${operation}`);
    }
    registers.set32(R.CommandHead, head);
  }
}
