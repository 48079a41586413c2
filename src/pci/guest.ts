import { MmioDevice } from "../memory/hooks";
import { guestSpace } from "../memory/space";
import { in32 } from "../metal";
import { portHooks } from "../vcpu/io";
import { PortDevice } from "../vcpu/ports";
import { CONFIG_ADDRESS, CONFIG_DATA, CONFIG_ENABLE, configSpace, NOWHERE, SEGMENT_SIZE } from "./config";
import { ConfigFunction, WatchedFunction } from "./function";
import { readPort, widthMask, writePort } from "./widths";

/** Functions that Sheer answers for. Their numbers, from 1, fit a byte. */
const MAXIMUM_FUNCTIONS: u32 = 127;
/** In place of a number: the machine's own function, or none for the guest. */
const MACHINE: u32 = 0;
const NONE: u32 = 255;
/** What can be written to 0xCF8 (PCI Local Bus 3.0, 3.2.2.3.2). */
const ADDRESS_BITS: u32 = 0x80ff_fffc;

/**
 * Configuration space as the guest sees it: the machine's own, but for the functions that Sheer answers for. A table has
 * a byte for each address of segment 0, so that one load tells that a function is the machine's. What is the machine's
 * is looked up and accessed under one lock: the guest cannot have buses renumbered in between.
 */
class GuestConfig {
  private count: u32 = 0;
  /** A bridge comes before what is behind it. */
  private readonly functions: StaticArray<ConfigFunction> = new StaticArray<ConfigFunction>(MAXIMUM_FUNCTIONS + 1);
  /** Device and function of each, which never change. */
  private readonly places: StaticArray<u32> = new StaticArray<u32>(MAXIMUM_FUNCTIONS + 1);
  private readonly table: usize = heap.alloc(SEGMENT_SIZE);

  constructor() {
    memory.fill(this.table, MACHINE as u8, SEGMENT_SIZE);
  }

  /** Has all accesses of the guest come here, on both ways; false if they cannot be hooked. */
  begin(): bool {
    if (!portHooks.find(CONFIG_DATA) && !hookPorts()) return false;
    for (let range: u32 = 0; range < configSpace.ranges; range++) {
      const base = configSpace.rangeBase(range);
      const first = configSpace.rangeFirst(range);
      const length = ((configSpace.rangeEnd(range) - first) as u64) << 12;
      if (guestSpace.hooks.find(base) === null && !guestSpace.hook(base, length, new EcamWindow(base, first)))
        return false;
    }
    return true;
  }

  /** Has `answering` answer in its function's place, wherever that moves; at boot. False if there is no room. */
  add(answering: ConfigFunction): bool {
    if (this.count == MAXIMUM_FUNCTIONS) return false;
    const address = answering.pci.address;
    answering.bridge = this.bridgeTo(address >> 8);
    const number = ++this.count;
    unchecked((this.functions[number] = answering));
    unchecked((this.places[number] = address & 0xff));
    configSpace.lock.acquire();
    this.mark(number);
    configSpace.lock.release();
    return true;
  }

  /** After a bridge has got new bus numbers: all that is behind it moves. The lock of `configSpace` is held. */
  renumber(): void {
    memory.fill(this.table, MACHINE as u8, SEGMENT_SIZE);
    for (let number: u32 = 1; number <= this.count; number++) {
      const bridge = unchecked(this.functions[number]).bridge;
      if (bridge !== null) this.move(number, bridge.busBehind());
      if (this.isWatched(number)) this.mark(number);
    }
    // Where the guest's numbers put two at one address, what it must not reach comes before what it has anyway.
    for (let number: u32 = 1; number <= this.count; number++) if (!this.isWatched(number)) this.mark(number);
  }

  /** Whether a bus has this number, segment 15:8: one behind a bridge, or a root bus. */
  isBus(bus: u32): bool {
    for (let number: u32 = 1; number <= this.count; number++) {
      const answering = unchecked(this.functions[number]);
      if (answering.claims(bus) || (answering.bridge === null && answering.pci.address >> 8 == bus)) return true;
    }
    return false;
  }

  read(address: u32, offset: u32, width: u32): u32 {
    configSpace.lock.acquire();
    const number = this.find(address);
    if (number == MACHINE) {
      const value = configSpace.read(address, offset, width);
      configSpace.lock.release();
      return value;
    }
    configSpace.lock.release();
    if (number == NONE) return widthMask(width);
    const answering = unchecked(this.functions[number]);
    answering.lock.acquire();
    const value = answering.read(offset, width);
    answering.lock.release();
    return value;
  }

  write(address: u32, offset: u32, width: u32, value: u32): void {
    configSpace.lock.acquire();
    const number = this.find(address);
    if (number == MACHINE) configSpace.write(address, offset, width, value);
    configSpace.lock.release();
    if (number == MACHINE || number == NONE) return;
    const answering = unchecked(this.functions[number]);
    answering.lock.acquire();
    answering.write(offset, width, value);
    answering.lock.release();
  }

  /** The number of the function that answers at an address, MACHINE or NONE. */
  @inline private find(address: u32): u32 {
    return address < SEGMENT_SIZE ? (load<u8>(this.table + address) as u32) : this.search(address);
  }

  private search(address: u32): u32 {
    for (let number: u32 = 1; number <= this.count; number++) {
      const answering = unchecked(this.functions[number]);
      const at = answering.pci.address;
      if (at == address) return number;
      if (at == (address & ~7) && answering.alone) return NONE;
    }
    return MACHINE;
  }

  private mark(number: u32): void {
    const answering = unchecked(this.functions[number]);
    const address = answering.pci.address;
    if (address >= SEGMENT_SIZE) return;
    store<u8>(this.table + address, number as u8);
    if (address & 7 || !answering.alone) return;
    for (let i: u32 = 1; i < 8; i++) store<u8>(this.table + address + i, NONE as u8);
  }

  private move(number: u32, bus: u32): void {
    const pci = unchecked(this.functions[number]).pci;
    pci.address = bus == NOWHERE ? NOWHERE : (bus << 8) | unchecked(this.places[number]);
  }

  private isWatched(number: u32): bool {
    return unchecked(this.functions[number]) instanceof WatchedFunction;
  }

  private bridgeTo(bus: u32): ConfigFunction | null {
    for (let number: u32 = 1; number <= this.count; number++) {
      const answering = unchecked(this.functions[number]);
      if (answering.busBehind() == bus) return answering;
    }
    return null;
  }
}

/** Where Sheer itself needs 0xCF8, because no memory reaches configuration space, the guest gets one of its own. */
function hookPorts(): bool {
  const address = new AddressPort();
  const own = !configSpace.ecamPage(0);
  if (own && !portHooks.add(CONFIG_ADDRESS, 4, address)) return false;
  return portHooks.add(CONFIG_DATA, 4, new DataPort(own ? address : null));
}

/** 0xCF8 to 0xCFB. Only dwords are meant for the register (PCI Local Bus 3.0, 3.2.2.3.2); 0xCF9 resets machines. */
class AddressPort extends PortDevice {
  value: u32 = in32(CONFIG_ADDRESS);

  read(port: u32, width: u32): u32 {
    return width == 4 ? this.value : readPort(port, width);
  }
  write(port: u32, width: u32, value: u32): void {
    if (width == 4) this.value = value & ADDRESS_BITS;
    else writePort(port, width, value);
  }
}

/**
 * 0xCFC to 0xCFF. Without an address port of Sheer's, 0xCF8 is read back from the machine, so that the guest's writes to
 * it cost no exit. The access goes to the function that was named there, whatever another processor writes meanwhile.
 */
class DataPort extends PortDevice {
  constructor(private readonly address: AddressPort | null) {
    super();
  }

  read(port: u32, width: u32): u32 {
    const name = this.name();
    if (!(name & CONFIG_ENABLE)) return widthMask(width);
    return guestConfig.read((name >> 8) & 0xffff, (name & 0xfc) + (port & 3), width);
  }

  write(port: u32, width: u32, value: u32): void {
    const name = this.name();
    if (name & CONFIG_ENABLE) guestConfig.write((name >> 8) & 0xffff, (name & 0xfc) + (port & 3), width, value);
  }

  @inline private name(): u32 {
    const address = this.address;
    return address === null ? in32(CONFIG_ADDRESS) : address.value;
  }
}

/** One ECAM range. Whole, since a page that is plain today may be a mediated function's tomorrow, at the guest's wish. */
class EcamWindow extends MmioDevice {
  constructor(
    private readonly base: u64,
    private readonly first: u32,
  ) {
    super();
  }

  /** 8 bytes go as two dwords, as they may on a real machine (PCI Express 3.0, 7.2.2). */
  read(address: u64, width: u32): u64 {
    if (width == 8) return this.read(address, 4) | (this.read(address + 4, 4) << 32);
    return guestConfig.read(this.functionAt(address), (address as u32) & 0xfff, width) as u64;
  }

  write(address: u64, width: u32, value: u64): void {
    if (width == 8) {
      this.write(address, 4, value & 0xffff_ffff);
      this.write(address + 4, 4, value >> 32);
    } else {
      guestConfig.write(this.functionAt(address), (address as u32) & 0xfff, width, value as u32);
    }
  }

  private functionAt(address: u64): u32 {
    return this.first + (((address - this.base) >> 12) as u32);
  }
}

export const guestConfig = new GuestConfig();
