// A guest's use of PCI: configuration space both ways, capabilities, BAR sizes (PCI Local Bus Specification 3.0, chapter 6).
import { allOnes, type Width } from "../bits.ts";
import { ECAM_BASE, ECAM_BASE_1 } from "../pci/bus.ts";
import { Config } from "../pci/function.ts";
import type { Guest } from "../guest/guest.ts";

/** How configuration space is reached. */
export type ConfigWay = "ports" | "ecam";

const STATUS_CAPABILITIES = 1 << 4;
const MULTIFUNCTION = 0x80;

/** Where a function's 4 KiB of configuration space are. */
export function ecamAddress(address: number): number {
  return (address >> 16 ? ECAM_BASE_1 : ECAM_BASE) + (address & 0xffff) * 4096;
}

/** One function as the guest sees it. */
export class GuestPciFunction {
  readonly guest: Guest;
  /** Segment 16, bus 15:8, device 7:3, function 2:0. */
  readonly address: number;
  way: ConfigWay;

  constructor(guest: Guest, address: number, way: ConfigWay = "ports") {
    this.guest = guest;
    this.address = address;
    this.way = way;
  }

  read(offset: number, width: Width): number {
    if (this.way === "ecam") return Number(this.guest.read(ecamAddress(this.address) + offset, width));
    this.#select(offset);
    return this.guest.in(0xcfc + (offset & 3), width);
  }

  write(offset: number, width: Width, value: number): void {
    if (this.way === "ecam") {
      this.guest.write(ecamAddress(this.address) + offset, width, value);
      return;
    }
    this.#select(offset);
    this.guest.out(0xcfc + (offset & 3), width, value);
  }

  #select(offset: number): void {
    this.guest.out(0xcf8, 4, (0x8000_0000 | (this.address << 8) | (offset & 0xfc)) >>> 0);
  }

  /** Offset of a capability; undefined if the function has none of this kind. */
  capability(id: number): number | undefined {
    return this.capabilities(id)[0];
  }

  /** Offsets of all capabilities of a kind, in the order of the list. */
  capabilities(id: number): number[] {
    const found: number[] = [];
    if (!(this.read(Config.Status, 2) & STATUS_CAPABILITIES)) return found;
    let at = this.read(Config.Capabilities, 1);
    for (let steps = 0; at !== 0 && steps < 48; steps++) {
      if (this.read(at, 1) === id) found.push(at);
      at = this.read(at + 1, 1);
    }
    return found;
  }

  /** Base address of a BAR without its type bits. */
  bar(index: number): number {
    const value = this.read(Config.Bar0 + 4 * index, 4);
    return value & 1 ? value & 0xfffc : value - (value % 16);
  }

  /** Size of a BAR by the way of the specification: all ones, read back, restore. 0 if it is not there. */
  barSize(index: number): number {
    const offset = Config.Bar0 + 4 * index;
    const before = this.read(offset, 4);
    this.write(offset, 4, allOnes(4));
    const mask = this.read(offset, 4);
    this.write(offset, 4, before);
    if (mask === 0) return 0;
    const bits = mask & 1 ? mask & 0xfffc : mask - (mask % 16);
    return mask & 1 ? 0x1_0000 - bits : 2 ** 32 - bits;
  }
}

/** Every function on a bus that answers. */
export function scanBus(guest: Guest, way: ConfigWay = "ports", bus = 0): GuestPciFunction[] {
  const found: GuestPciFunction[] = [];
  for (let device = 0; device < 32; device++) {
    for (let func = 0; func < 8; func++) {
      const pci = new GuestPciFunction(guest, (bus << 8) | (device << 3) | func, way);
      const present = pci.read(Config.VendorId, 2) !== 0xffff;
      if (present) found.push(pci);
      if (func === 0 && (!present || !(pci.read(Config.HeaderType, 1) & MULTIFUNCTION))) break;
    }
  }
  return found;
}
