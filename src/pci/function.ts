import { TicketLock } from "../threads/lock";
import { NOWHERE, PciFunction } from "./config";
import { ALL_ONES } from "./header";
import { widthMask } from "./widths";

/** What answers the guest's accesses to one function's configuration space, in place of the function itself. */
export abstract class ConfigFunction {
  /**
   * `pci` is the real function, `lock` is held while this answers. `alone` says that the device has no other functions:
   * whatever its hardware makes of their addresses, the guest sees none.
   */
  constructor(
    readonly pci: PciFunction,
    readonly lock: TicketLock,
    readonly alone: bool,
  ) {}

  /** The bridge that it is behind, if Sheer watches one. */
  bridge: ConfigFunction | null = null;

  /** Whether it is a bridge whose secondary bus has this number, segment 15:8. */
  claims(_bus: u32): bool {
    return false;
  }
  /** Whether it is a bridge that hands accesses for a bus on to bridges further down. */
  forwards(_bus: u32): bool {
    return false;
  }
  /** The bus behind it, segment 15:8, if it is a bridge that leads to one; else NOWHERE. */
  busBehind(): u32 {
    return NOWHERE;
  }

  /** Reads 1, 2 or 4 bytes at an offset below 4096. */
  abstract read(offset: u32, width: u32): u32;
  abstract write(offset: u32, width: u32, value: u32): void;
}

/**
 * The configuration space that the guest sees of one mediated function. It is made of dwords; the guest's accesses of
 * every width, through ports and through memory, come down to the two abstract methods.
 */
export abstract class ConfigDevice extends ConfigFunction {
  constructor(pci: PciFunction, lock: TicketLock) {
    super(pci, lock, !pci.multifunction);
  }

  /** The dword at `register`, a multiple of 4 below 4096. */
  abstract readDword(register: u32): u32;
  /** Writes the bits of `value` that are set in `mask`, which covers whole bytes. */
  abstract writeDword(register: u32, value: u32, mask: u32): void;

  /** The function has been taken out of the machine: nothing of it answers. */
  unplugged(): void {
    return;
  }
  /** A function of the same kind is in its place, as after power-on. */
  plugged(): void {
    return;
  }

  /** An access that crosses a dword reaches no function and reads all ones. */
  read(offset: u32, width: u32): u32 {
    const byte = offset & 3;
    if (byte + width > 4) return widthMask(width);
    return (this.readDword(offset & ~3) >> (byte << 3)) & widthMask(width);
  }

  write(offset: u32, width: u32, value: u32): void {
    const byte = offset & 3;
    if (byte + width > 4) return;
    this.writeDword(offset & ~3, value << (byte << 3), widthMask(width) << (byte << 3));
  }
}

/** A function that the guest is not to see: it reads as one that is not there. */
export class AbsentFunction extends ConfigFunction {
  constructor(pci: PciFunction, lock: TicketLock) {
    super(pci, lock, !pci.multifunction);
  }

  read(_offset: u32, width: u32): u32 {
    return ALL_ONES & widthMask(width);
  }
  write(_offset: u32, _width: u32, _value: u32): void {
    return;
  }
}

/** A function that the guest has as it is, but for what Sheer has to know or to forbid of its writes. */
export abstract class WatchedFunction extends ConfigFunction {
  constructor(pci: PciFunction, lock: TicketLock) {
    super(pci, lock, false);
  }

  read(offset: u32, width: u32): u32 {
    return (offset & 3) + width > 4 ? widthMask(width) : this.pci.read(offset, width);
  }
  write(offset: u32, width: u32, value: u32): void {
    if ((offset & 3) + width <= 4 && this.permits(offset & ~3)) this.pci.write(offset, width, value);
  }

  /** Whether the guest may write to the dword at `register`. */
  abstract permits(register: u32): bool;
}
