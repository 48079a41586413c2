// The memory services: UEFI Specification 2.10, 7.2.
import { EfiStatus, MemoryType } from "./uefi.ts";

export const PAGE = 4096;

export interface MemoryRegion {
  readonly type: number;
  readonly base: number;
  readonly end: number;
}

/** AllocatePages' ways of choosing. */
export const AllocateType = { AnyPages: 0, MaxAddress: 1, Address: 2 } as const;

/** Which physical page is used for what: regions in ascending order that never overlap. */
export class MemoryMap {
  /** Changes with every allocation; GetMemoryMap's key. */
  key = 1;
  #regions: MemoryRegion[] = [];

  get regions(): readonly MemoryRegion[] {
    return this.#regions;
  }

  typeAt(address: number): number | undefined {
    return this.#regions.find(({ base, end }) => address >= base && address < end)?.type;
  }

  /** Gives a range a type, whatever it was. */
  set(base: number, length: number, type: number): void {
    const end = base + length;
    const kept = this.#regions.flatMap((region) => [
      { ...region, end: Math.min(region.end, base) },
      { ...region, base: Math.max(region.base, end) },
    ]);
    const sorted = [...kept.filter((region) => region.base < region.end), { type, base, end }];
    sorted.sort((a, b) => a.base - b.base);
    this.#regions = merge(sorted);
    this.key++;
  }

  /** Takes free pages, the highest that fit; undefined if there are none. */
  allocate(way: number, type: number, pages: number, address: number): number | undefined {
    const length = pages * PAGE;
    const found = way === AllocateType.Address ? this.#at(address, length) : this.#highest(way, length, address);
    if (found !== undefined) this.set(found, length, type);
    return found;
  }

  free(base: number, pages: number): bigint {
    const inside = this.#regions.some((region) => region.base <= base && base + pages * PAGE <= region.end);
    if (!inside || base % PAGE || this.typeAt(base) === MemoryType.Conventional) return EfiStatus.NotFound;
    this.set(base, pages * PAGE, MemoryType.Conventional);
    return EfiStatus.Success;
  }

  #at(base: number, length: number): number | undefined {
    const fits = this.#free().some((region) => region.base <= base && base + length <= region.end);
    return fits && base % PAGE === 0 ? base : undefined;
  }

  #highest(way: number, length: number, maximum: number): number | undefined {
    for (const region of this.#free().reverse()) {
      const end = way === AllocateType.MaxAddress ? Math.min(region.end, maximum + 1) : region.end;
      const base = Math.floor((end - length) / PAGE) * PAGE;
      if (base >= region.base) return base;
    }
    return undefined;
  }

  #free(): MemoryRegion[] {
    return this.#regions.filter(({ type }) => type === MemoryType.Conventional);
  }
}

function merge(regions: readonly MemoryRegion[]): MemoryRegion[] {
  const merged: MemoryRegion[] = [];
  for (const region of regions) {
    const last = merged.at(-1);
    if (last?.end === region.base && last.type === region.type) merged.push({ ...merged.pop()!, end: region.end });
    else merged.push(region);
  }
  return merged;
}
