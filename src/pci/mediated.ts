import { in32 } from "../metal";
import { MmioDevice } from "../memory/hooks";
import { guestSpace } from "../memory/space";
import { portHooks } from "../vcpu/io";
import { PortDevice } from "../vcpu/ports";
import { TicketLock } from "../threads/lock";
import { CONFIG_ADDRESS, CONFIG_DATA, CONFIG_ENABLE, configSpace } from "./config";
import { ALL_ONES } from "./header";
import { widthMask } from "./widths";

/**
 * The configuration space that the guest sees of one mediated function. It is made of dwords; the guest's accesses of
 * every width, through ports and through memory, come down to the two abstract methods.
 */
export abstract class ConfigDevice {
  /** `address` is the function's: bus 15:8, device 7:3, function 2:0. `lock` is held while it answers. */
  constructor(
    readonly address: u32,
    readonly lock: TicketLock,
  ) {}

  /** The dword at `register`, a multiple of 4 below 4096. */
  abstract readDword(register: u32): u32;
  /** Writes the bits of `value` that are set in `mask`, which covers whole bytes. */
  abstract writeDword(register: u32, value: u32, mask: u32): void;

  /** Reads 1, 2 or 4 bytes; an access that crosses a dword reaches no function and reads all ones. */
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
export class AbsentFunction extends ConfigDevice {
  readDword(_register: u32): u32 {
    return ALL_ONES;
  }
  writeDword(_register: u32, _value: u32, _mask: u32): void {
    return;
  }
}

const MAXIMUM_FUNCTIONS: u32 = 8;
/** What of 0xCF8 names a function; bits 30:24 are reserved. */
const FUNCTION_BITS: u32 = CONFIG_ENABLE | 0x00ff_ff00;

/**
 * 0xCFC to 0xCFF. 0xCF8 is the machine's own: it is read back from there, so that the guest's writes to it cost no
 * exit. The access then goes to the function that was named there, whatever another processor writes to 0xCF8 meanwhile.
 */
class ConfigPorts extends PortDevice {
  private count: u32 = 0;
  private readonly names: StaticArray<u32> = new StaticArray<u32>(MAXIMUM_FUNCTIONS);
  private readonly functions: StaticArray<ConfigDevice | null> = new StaticArray<ConfigDevice | null>(
    MAXIMUM_FUNCTIONS,
  );

  /** False if there is no room. */
  add(device: ConfigDevice): bool {
    if (this.count == MAXIMUM_FUNCTIONS) return false;
    unchecked((this.names[this.count] = CONFIG_ENABLE | (device.address << 8)));
    unchecked((this.functions[this.count] = device));
    this.count++;
    return true;
  }

  read(port: u32, width: u32): u32 {
    const name = in32(CONFIG_ADDRESS);
    if (!(name & CONFIG_ENABLE)) return widthMask(width);
    const device = this.find(name);
    const register = (name & 0xfc) + (port & 3);
    if (device === null) return configSpace.read((name >> 8) & 0xffff, register, width);
    device.lock.acquire();
    const value = device.read(register, width);
    device.lock.release();
    return value;
  }

  write(port: u32, width: u32, value: u32): void {
    const name = in32(CONFIG_ADDRESS);
    if (!(name & CONFIG_ENABLE)) return;
    const device = this.find(name);
    const register = (name & 0xfc) + (port & 3);
    if (device === null) return configSpace.write((name >> 8) & 0xffff, register, width, value);
    device.lock.acquire();
    device.write(register, width, value);
    device.lock.release();
  }

  private find(name: u32): ConfigDevice | null {
    for (let i: u32 = 0; i < this.count; i++) {
      if (unchecked(this.names[i]) == (name & FUNCTION_BITS)) return unchecked(this.functions[i]);
    }
    return null;
  }
}

export const configPorts = new ConfigPorts();

/** The 4 KiB of ECAM that belong to one mediated function. */
export class EcamPage extends MmioDevice {
  constructor(private readonly device: ConfigDevice) {
    super(device.lock);
  }

  read(address: u64, width: u32): u64 {
    const offset = (address as u32) & 0xfff;
    if (width < 8) return this.device.read(offset, width) as u64;
    if (offset & 7) return ~(0 as u64);
    return (this.device.read(offset, 4) as u64) | ((this.device.read(offset + 4, 4) as u64) << 32);
  }

  write(address: u64, width: u32, value: u64): void {
    const offset = (address as u32) & 0xfff;
    if (width < 8) {
      this.device.write(offset, width, value as u32);
    } else if (!(offset & 7)) {
      this.device.write(offset, 4, value as u32);
      this.device.write(offset + 4, 4, (value >> 32) as u32);
    }
  }
}

const ECAM_PAGE_SIZE: u64 = 4096;

/** Puts a device in its function's place in configuration space, on both ways to it; false if there is no room. */
export function showConfig(device: ConfigDevice): bool {
  const page = configSpace.ecamPage(device.address);
  if (page && !guestSpace.hook(page, ECAM_PAGE_SIZE, new EcamPage(device))) return false;
  if (!portHooks.find(CONFIG_DATA) && !portHooks.add(CONFIG_DATA, 4, configPorts)) return false;
  return configPorts.add(device);
}
