import { PciFunction } from "./config";
import { ALL_ONES, BarFlag, Command, Header } from "./header";

const MEMORY_BITS: u32 = 0xffff_fff0;
const IO_BITS: u32 = 0xffff_fffc;

/** A base address register of a real function: what it decodes, and how it is moved (PCI Local Bus 3.0, 6.2.5.1). */
export class Bar {
  readonly isIo: bool;
  readonly is64: bool;
  /** Bytes that it decodes; 0 if the register is not there. */
  readonly size: u64;
  private readonly register: u32;

  /** Sizes the register, with decoding off meanwhile so that nothing answers at the passing addresses. */
  constructor(
    private readonly pci: PciFunction,
    index: u32,
  ) {
    const register = Header.Bar0 + (index << 2);
    const command = pci.read16(Header.Command);
    pci.write16(Header.Command, command & ~(Command.IoSpace | Command.MemorySpace));
    const value = pci.read32(register);
    this.register = register;
    this.isIo = (value & BarFlag.IoSpace) != 0;
    this.is64 = !this.isIo && (value & BarFlag.Type64) != 0;
    const low = probe(pci, register, value);
    const high = this.is64 ? probe(pci, register + 4, pci.read32(register + 4)) : ALL_ONES;
    this.size = sizeOf(low, high, this.isIo);
    pci.write16(Header.Command, command);
  }

  /** First address that it decodes. */
  base(): u64 {
    const low = this.pci.read32(this.register) & (this.isIo ? IO_BITS : MEMORY_BITS);
    const high = this.is64 ? this.pci.read32(this.register + 4) : 0;
    return ((high as u64) << 32) | (low as u64);
  }

  /** Moves it, with decoding off while it is half written. */
  move(base: u64): void {
    const command = this.pci.read16(Header.Command);
    this.pci.write16(Header.Command, command & ~(Command.IoSpace | Command.MemorySpace));
    this.pci.write32(this.register, base as u32);
    if (this.is64) this.pci.write32(this.register + 4, (base >> 32) as u32);
    this.pci.write16(Header.Command, command);
  }
}

/** The bits of a base address register that can be set; leaves `value` in it. */
function probe(pci: PciFunction, register: u32, value: u32): u32 {
  pci.write32(register, ALL_ONES);
  const bits = pci.read32(register);
  pci.write32(register, value);
  return bits;
}

function sizeOf(low: u32, high: u32, isIo: bool): u64 {
  if (low == 0) return 0;
  // Cards may leave bits 31:16 of an I/O register unimplemented (6.2.5.1).
  if (isIo) return (-(low & IO_BITS) & 0xffff) as u64;
  return -(((high as u64) << 32) | ((low & MEMORY_BITS) as u64));
}

/** Gives BAR 0 of a function its place again, and has it decode and master the bus: after its power was gone. */
export function placeAgain(pci: PciFunction, base: u64): void {
  const is64 = (pci.read32(Header.Bar0) & BarFlag.Type64) != 0;
  pci.write32(Header.Bar0, base as u32);
  if (is64) pci.write32(Header.Bar0 + 4, (base >> 32) as u32);
  pci.write16(Header.Command, pci.read16(Header.Command) | Command.MemorySpace | Command.BusMaster);
}
