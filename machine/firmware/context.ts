// The processor's state under the firmware, as OVMF leaves it: long mode, identity-mapped, flat segments.
import type { PhysicalMemory } from "../memory.ts";
import { PAGE } from "./memory-map.ts";

/** Sizes of what `buildContext` lays out: PML4, PDPT, four page directories; GDT and IDT; the stack. */
export const CONTEXT_PAGES = 6 + 1 + 1 + 4;
const PRESENT_WRITABLE = 3n;
const LARGE = 0x80n;
const GIB = 1n << 30n;
const LARGE_PAGE = 1n << 21n;

/** Code at 0x38 and data at 0x30, as in OVMF. */
const GDT = [
  0n,
  0x00cf_9300_0000_ffffn,
  0x00cf_9f00_0000_ffffn,
  0x00cf_9300_0000_ffffn,
  0x00cf_9a00_0000_ffffn,
  0n,
  0x00cf_9300_0000_ffffn,
  0x00af_9b00_0000_ffffn,
  0n,
];

export interface FirmwareContext {
  readonly cr3: number;
  readonly gdtBase: number;
  readonly gdtLimit: number;
  readonly idtBase: number;
  readonly idtLimit: number;
  /** Top of the stack. */
  readonly stack: number;
  readonly codeSelector: number;
  readonly dataSelector: number;
}

/** Lays page tables, descriptor tables and a stack out from `base`, which has CONTEXT_PAGES pages. */
export function buildContext(memory: PhysicalMemory, base: number): FirmwareContext {
  const directories = base + 2 * PAGE;
  const gdtBase = base + 6 * PAGE;
  const idtBase = base + 7 * PAGE;
  memory.write64(base, BigInt(base + PAGE) | PRESENT_WRITABLE);
  for (let gib = 0; gib < 512; gib++) {
    const entry = gib < 4 ? BigInt(directories + gib * PAGE) : (BigInt(gib) * GIB) | LARGE;
    memory.write64(base + PAGE + 8 * gib, entry | PRESENT_WRITABLE);
  }
  for (let page = 0; page < 4 * 512; page++) {
    memory.write64(directories + 8 * page, (BigInt(page) * LARGE_PAGE) | LARGE | PRESENT_WRITABLE);
  }
  GDT.forEach((descriptor, i) => memory.write64(gdtBase + 8 * i, descriptor));
  return {
    cr3: base,
    gdtBase,
    gdtLimit: 8 * GDT.length - 1,
    idtBase,
    idtLimit: PAGE - 1,
    stack: base + CONTEXT_PAGES * PAGE,
    codeSelector: 0x38,
    dataSelector: 0x30,
  };
}
