// How the processor finds memory for a guest: its own page tables (APM 2, 5.3), then the nested ones (15.25).
import type { PhysicalMemory } from "../memory.ts";
import { Control, Save, type Vmcb } from "./vmcb.ts";

export interface Access {
  readonly write?: boolean;
  readonly fetch?: boolean;
}

/** A nested page fault: what goes to EXITINFO1 and EXITINFO2. */
export interface NestedFault {
  readonly info: bigint;
  readonly address: number;
}

export type Translation = { readonly address: number } | { readonly fault: NestedFault };

/** What a page fault of the guest's own tables tells it. */
export class GuestPageFault extends Error {
  readonly address: number;
  readonly code: number;
  constructor(address: number, code: number) {
    super(`#PF at ${address.toString(16)}, error ${code}`);
    this.address = address;
    this.code = code;
  }
}

const Entry = { Present: 1n, Writable: 2n, User: 4n, Large: 1n << 7n, NoExecute: 1n << 63n } as const;
const Info = {
  Present: 1n,
  Write: 2n,
  User: 4n,
  Reserved: 8n,
  Fetch: 16n,
  Final: 1n << 32n,
  Tables: 1n << 33n,
} as const;
const FRAME = 0xf_ffff_ffff_f000n;
const EFER_LMA = 1 << 10;
const CR0_PG = 1 << 31;
const PRESENT = 1;
const LARGE = 1 << 7;

interface CachedPage {
  readonly frame: number;
  readonly permissions: bigint;
}

/** Translates as the processor does, with a cache that only TLB_CONTROL empties. */
export class Translator {
  readonly #memory: PhysicalMemory;
  readonly #vmcb: Vmcb;
  readonly #cache = new Map<number, CachedPage>();

  readonly #flushByAsid: boolean;

  constructor(memory: PhysicalMemory, vmcb: Vmcb, flushByAsid = false) {
    this.#memory = memory;
    this.#vmcb = vmcb;
    this.#flushByAsid = flushByAsid;
  }

  /** VMRUN: TLB_CONTROL other than 0 empties the cache, which has one guest's translations (15.16). */
  entry(): void {
    const control = this.#vmcb.get8(Control.TlbControl);
    if (control > 1 && !this.#flushByAsid) throw new Error(`TLB_CONTROL ${control} without flush by ASID is reserved`);
    if (control & 7) this.#cache.clear();
  }

  /** Guest-physical to physical. `tables`: the access is to the guest's page tables. */
  nested(address: number, access: Access, tables = false): Translation {
    if (!(this.#vmcb.get(Control.NestedControl) & 1n)) return { address };
    const offset = address % 4096;
    const cached = this.#cache.get(address - offset);
    if (cached && allows(cached.permissions, access)) return { address: cached.frame + offset };
    const page = this.#walk(address);
    if (typeof page === "object" && allows(page.permissions, access)) {
      this.#cache.set(address - offset, page);
      return { address: page.frame + offset };
    }
    return { fault: this.#fault(address, access, tables, page) };
  }

  /** A linear address to a guest-physical one, by the guest's tables; throws #PF, or returns the nested fault. */
  linear(address: number, access: Access): Translation {
    const paging = (this.#vmcb.get32(Save.Cr0) & CR0_PG) !== 0;
    if (!paging || !(this.#vmcb.get32(Save.Efer) & EFER_LMA)) return { address };
    let table = this.#frame(this.#vmcb.base + Save.Cr3);
    for (let level = 4; level > 0; level--) {
      const at = this.nested(table + 8 * index(address, level), { write: true }, true);
      if ("fault" in at) return at;
      const flags = this.#memory.read32(at.address);
      if (!(flags & PRESENT)) throw new GuestPageFault(address, access.write ? 2 : 0);
      table = this.#frame(at.address);
      if (level === 1 || (level < 4 && flags & LARGE)) {
        const size = 2 ** (12 + 9 * (level - 1));
        return { address: table - (table % size) + (address % size) };
      }
    }
    throw new Error("a page walk ends at level 1");
  }

  /** The address in a page-table entry or CR3. */
  #frame(at: number): number {
    const low = this.#memory.read32(at);
    return low - (low % 4096) + (this.#memory.read32(at + 4) & 0xf_ffff) * 2 ** 32;
  }

  #fault(
    address: number,
    { write, fetch }: Access,
    tables: boolean,
    page: CachedPage | "absent" | "reserved",
  ): NestedFault {
    const present = page === "absent" ? 0n : page === "reserved" ? Info.Present | Info.Reserved : Info.Present;
    const info = present | Info.User | (write ? Info.Write : 0n) | (fetch ? Info.Fetch : 0n);
    return { info: info | (tables ? Info.Tables : Info.Final), address };
  }

  #walk(address: number): CachedPage | "absent" | "reserved" {
    let table = Number(this.#vmcb.get(Control.NestedCr3) & FRAME);
    let permissions = Entry.Writable | Entry.User;
    let noExecute = 0n;
    for (let level = 4; level > 0; level--) {
      const entry = this.#memory.read64(table + 8 * index(address, level));
      if (!(entry & Entry.Present)) return "absent";
      permissions &= entry;
      noExecute |= entry & Entry.NoExecute;
      const large = level === 1 || (entry & Entry.Large) !== 0n;
      if (level === 4 && large) return "reserved";
      if (!large) {
        table = Number(entry & FRAME);
        continue;
      }
      if (level > 1 && entry & FRAME & (pageSize(level) - 1n) & ~(1n << 12n)) return "reserved";
      const page = address - (address % 4096);
      return { frame: leaf(entry, level, page), permissions: permissions | noExecute };
    }
    throw new Error("a page walk ends at level 1");
  }
}

function allows(permissions: bigint, { write, fetch }: Access): boolean {
  if (!(permissions & Entry.User)) return false;
  if (write && !(permissions & Entry.Writable)) return false;
  return !(fetch && permissions & Entry.NoExecute);
}

function index(address: number, level: number): number {
  return Math.floor(address / 2 ** (12 + 9 * (level - 1))) % 512;
}

function pageSize(level: number): bigint {
  return 1n << BigInt(12 + 9 * (level - 1));
}

function leaf(entry: bigint, level: number, address: number): number {
  const size = pageSize(level);
  return Number(entry & FRAME & ~(size - 1n)) + (address % Number(size));
}
