import { GuestBus } from "../decode/bus";
import { cpuid } from "../metal";
import { guestMemory } from "./guest";
import { TicketLock } from "../threads/lock";
import { processors } from "../vcpu/processors";
import { EntryFormat } from "./entry-format";
import { takePages } from "./frames";
import { MmioDevice, MmioHooks } from "./hooks";
import { NestedTables } from "./nested";
import { GuestRegions } from "./regions";
import { setPhysicalBits } from "./translate";
import { memoryTypes } from "./types";

const PAGE: u64 = 4096;
/** What is mapped at a time when it is touched. */
const DEMAND: u64 = 1 << 21;
/** Mapped at boot, and kept; what lies above is mapped when first touched. */
const BOOT_LIMIT: u64 = 1 << 40;
/** Without pages of 1 GiB, each takes a table: here are the memory and the device registers that every machine has. */
const SMALL_BOOT_LIMIT: u64 = 1 << 32;
const TABLES: u32 = 128;
/** Left at boot for memory types, hooks and addresses that are mapped later. */
const SPARE: u32 = 48;
const LARGEST_PAGE: u64 = 1 << 30;
const LARGE_PAGE: u64 = 1 << 21;
/** CPUID Fn8000_0001 EDX: pages of 1 GiB. */
const GIGABYTE_PAGES: u32 = 1 << 26;

/** The guest-physical address space as a whole: its mapping and the devices that Sheer answers for. */
class GuestSpace {
  readonly hooks: MmioHooks = new MmioHooks();
  readonly bus: GuestBus = new GuestBus(this.hooks);
  private tables: NestedTables | null = null;
  /** First address that the tables cannot map. */
  private limit: u64 = 0;
  /** Held while hooks or mappings change. */
  private readonly lock: TicketLock = new TicketLock();

  /** Builds the mapping for this machine, by tables of `levels` levels with entries of `format`. */
  begin(format: EntryFormat, levels: u32): void {
    const registers = memory.data(32, 8);
    cpuid(0x8000_0008, 0, registers);
    const physicalBits = load<u32>(registers) & 0xff;
    guestMemory.begin(physicalBits);
    setPhysicalBits(physicalBits);
    memoryTypes.begin();
    cpuid(0x8000_0001, 0, registers);
    const largest = load<u32>(registers, 16) & GIGABYTE_PAGES ? LARGEST_PAGE : LARGE_PAGE;
    const regions = new GuestRegions(this.hooks);
    this.tables = new NestedTables(regions, format, levels, largest, TABLES, takePages(1), takePages(1));
    this.limit = (1 as u64) << (min(physicalBits, 12 + 9 * levels) as u64);
    const bootLimit = largest == LARGEST_PAGE ? BOOT_LIMIT : SMALL_BOOT_LIMIT;
    this.nested().keepBelow(bootLimit);
    this.prepare(0, bootLimit);
  }

  /** Before the guest runs: maps a range, as far as there are tables to spare. */
  prepare(from: u64, to: u64): void {
    const end = min(to, this.limit);
    for (let at = from; at < end; at = (at | (LARGEST_PAGE - 1)) + 1) {
      if (this.nested().left < SPARE) return;
      this.nested().refresh(at, min((at | (LARGEST_PAGE - 1)) + 1, end));
    }
  }

  /** Physical address of the top table, for the processors' nested CR3 or extended-page-table pointer. */
  rootAddress(): u64 {
    return this.nested().rootAddress();
  }

  /** Makes guest accesses to a range go to `device`; false, with nothing changed, if it overlaps another or is Sheer's own. */
  hook(base: u64, length: u64, device: MmioDevice): bool {
    if (!length || !guestMemory.permits(base, length)) return false;
    this.lock.acquire();
    const hooked = this.hooks.add(base, length, device);
    if (hooked) this.nested().refresh(base, base + length);
    this.lock.release();
    return hooked;
  }

  /** Ends the hook that starts at `base`; pages that no other hook touches are the guest's again. */
  unhook(base: u64): void {
    this.lock.acquire();
    const end = this.hooks.end(base);
    if (this.hooks.remove(base)) {
      this.nested().refresh(base, end);
      processors.synchronise(); // none remembers the device
    }
    this.lock.release();
  }

  /** The guest has set a register of those that `memoryTypes` knows: what has another type now is mapped anew. */
  setMemoryType(index: u32, value: u64): void {
    this.lock.acquire();
    if (memoryTypes.get(index) != value) {
      const start = memoryTypes.reachStart(index);
      const end = memoryTypes.reachEnd(index);
      memoryTypes.set(index, value);
      this.nested().update(start, end);
      this.nested().update(memoryTypes.reachStart(index), memoryTypes.reachEnd(index));
    }
    this.lock.release();
  }

  /** Memory from 4 GiB to `end` is write-back now where no range says otherwise. */
  setWriteBackEnd(end: u64): void {
    this.lock.acquire();
    const old = memoryTypes.writeBackEnd;
    memoryTypes.writeBackEnd = end;
    this.nested().update(min(old, end), max(old, end));
    this.lock.release();
  }

  /** Maps what surrounds an address that was not mapped; false if it is beyond the machine or cannot be mapped. */
  mapOnDemand(address: u64): bool {
    if (address >= this.limit) return false;
    const base = address & ~(DEMAND - 1);
    this.lock.acquire();
    const mapped =
      this.nested().refresh(base, base + DEMAND) ||
      this.nested().refresh(address & ~(PAGE - 1), (address | (PAGE - 1)) + 1);
    this.lock.release();
    return mapped;
  }

  private nested(): NestedTables {
    return changetype<NestedTables>(changetype<usize>(this.tables));
  }
}

export const guestSpace = new GuestSpace();
