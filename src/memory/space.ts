import { BOOT_INFO, BootInfo } from "../boot/info";
import { GuestBus } from "../decode/bus";
import { cpuid } from "../metal";
import { guestMemory } from "./guest";
import { TicketLock } from "../threads/lock";
import { processors } from "../vcpu/processors";
import { MmioDevice, MmioHooks } from "./hooks";
import { NestedTables } from "./nested";
import { setPhysicalBits } from "./translate";
import { memoryTypes } from "./types";

const PAGE: u64 = 4096;

/** The guest-physical address space as a whole: its mapping and the devices that Sheer answers for. */
class GuestSpace {
  readonly hooks: MmioHooks = new MmioHooks();
  readonly bus: GuestBus = new GuestBus(this.hooks);
  readonly nested: NestedTables = new NestedTables();
  /** Held while hooks or mappings change. */
  private readonly lock: TicketLock = new TicketLock();

  /** Builds the mapping for this machine; `levels` is the number of levels of the host's page tables. */
  begin(levels: u32): void {
    const registers = memory.data(32, 8);
    cpuid(0x8000_0008, 0, registers);
    const physicalBits = load<u32>(registers) & 0xff;
    const info = changetype<BootInfo>(BOOT_INFO);
    guestMemory.begin(physicalBits);
    setPhysicalBits(physicalBits);
    memoryTypes.begin();
    this.nested.build(info.blockBase, info.blockSize, physicalBits, levels);
  }

  /** Makes guest accesses to a range go to `device`; false, with nothing changed, if it overlaps another or tables are short. */
  hook(base: u64, length: u64, device: MmioDevice): bool {
    if (!guestMemory.permits(base, length)) return false;
    this.lock.acquire();
    const hooked = this.addHook(base, length, device);
    this.lock.release();
    processors.synchronise();
    return hooked;
  }

  /** Ends the hook that starts at `base`; pages that no other hook touches are the guest's again. */
  unhook(base: u64): void {
    this.lock.acquire();
    this.removeHook(base);
    this.lock.release();
    processors.synchronise();
  }

  /** Maps what surrounds an address that was not mapped at boot; false if it is beyond the machine or no table is left. */
  mapOnDemand(address: u64): bool {
    this.lock.acquire();
    const mapped = this.nested.mapOnDemand(address);
    this.lock.release();
    return mapped;
  }

  private addHook(base: u64, length: u64, device: MmioDevice): bool {
    if (!this.hooks.add(base, length, device)) return false;
    for (let page = base & ~(PAGE - 1); page < base + length; page += PAGE) {
      if (this.nested.unmap(page)) continue;
      this.removeHook(base);
      return false;
    }
    return true;
  }

  private removeHook(base: u64): void {
    const end = this.hooks.end(base);
    if (!this.hooks.remove(base)) return;
    for (let page = base & ~(PAGE - 1); page < end; page += PAGE) {
      if (!this.hooks.touches(page, PAGE)) this.nested.map(page);
    }
  }
}

export const guestSpace = new GuestSpace();
