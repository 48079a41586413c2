// How a processor finds memory for a guest by the guest's own page tables (APM 2, 5.3; SDM 3, 5.5).
import type { PhysicalMemory } from "../memory.ts";
import type { NestedFault } from "./nested.ts";
import type { ProcessorState } from "./state.ts";

export interface Access {
  readonly write?: boolean;
  readonly fetch?: boolean;
}

/** A physical address, or what forbids the access on the way to it. */
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

const EFER_LMA = 1n << 10n;
const CR0_PG = 1n << 31n;
const PRESENT = 1;
const LARGE = 1 << 7;

/** A linear address to a guest-physical one; `table` finds an entry of the guest's tables. Throws #PF. */
export function translateLinear(
  memory: PhysicalMemory,
  state: ProcessorState,
  address: number,
  { write = false }: Access,
  table: (address: number) => Translation,
): Translation {
  if (!(state.controlRegister(0) & CR0_PG) || !(state.efer & EFER_LMA)) return { address };
  let base = Number(state.controlRegister(3) & 0xf_ffff_ffff_f000n);
  for (let level = 4; level > 0; level--) {
    const at = table(base + 8 * tableIndex(address, level));
    if ("fault" in at) return at;
    const flags = memory.read32(at.address);
    if (!(flags & PRESENT)) throw new GuestPageFault(address, write ? 2 : 0);
    base = flags - (flags % 4096) + (memory.read32(at.address + 4) & 0xf_ffff) * 2 ** 32;
    if (level === 1 || (level < 4 && flags & LARGE)) {
      const size = pageBytes(level);
      return { address: base - (base % size) + (address % size) };
    }
  }
  throw new Error("a page walk ends at level 1");
}

export function tableIndex(address: number, level: number): number {
  return Math.floor(address / pageBytes(level)) % 512;
}

export function pageBytes(level: number): number {
  return 2 ** (12 + 9 * (level - 1));
}
