// Nested page tables as the core makes them, after an address map that the test changes.
import { readFileSync } from "node:fs";
import { atomicImports } from "../../../machine/imports.ts";
import { compileCore } from "../../compile.ts";
import { type Format, type Page, walk } from "./walker.ts";

const module = new WebAssembly.Module(readFileSync(compileCore("nested", "test/unit/memory/core/nested.ts")));
/** Linear memory lies at this physical address. */
const LINEAR = 0x7_4000_0000;

export const KIB = 2 ** 10;
export const MIB = 2 ** 20;
export const GIB = 2 ** 30;
export const PAGE = 4 * KIB;
export const SIZES = [PAGE, 2 * MIB, GIB];

/** Region of src/memory/nested.ts. */
export const Region = { Own: 0, Absent: 1, Zeros: 2, Mixed: 3 } as const;

/** A stretch of addresses, up to before `end`. */
export interface Range {
  readonly base: number;
  readonly end: number;
}

const covers = (range: Range, base: number, end: number): boolean => range.base <= base && end <= range.end;
const touches = (range: Range, base: number, end: number): boolean => range.base < end && base < range.end;

/** What the guest finds at its addresses. */
export class AddressMap {
  hooks: Range[] = [];
  block: Range = { base: 0, end: 0 };
  /** Stretches of another type than the rest. */
  types: (Range & { readonly type: number })[] = [];
  readonly defaultType = 6;

  region(base: number, size: number): number {
    const end = base + size;
    if (this.hooks.some((hook) => covers(hook, base, end))) return Region.Absent;
    if (this.hooks.some((hook) => touches(hook, base, end))) return size === PAGE ? Region.Absent : Region.Mixed;
    if (covers(this.block, base, end)) return Region.Zeros;
    if (touches(this.block, base, end)) return Region.Mixed;
    const partly = this.types.some((type) => touches(type, base, end) && !covers(type, base, end));
    return partly ? Region.Mixed : Region.Own;
  }

  typeOf(base: number): number {
    return this.types.find((type) => covers(type, base, base + 1))?.type ?? this.defaultType;
  }
}

export interface TableOptions {
  readonly format: Format;
  readonly levels?: number;
  readonly largest?: number;
  readonly pool?: number;
}

interface Core {
  readonly memory: { readonly buffer: ArrayBuffer };
  make(extended: number, levels: number, largest: bigint, pool: number): void;
  root(): bigint;
  keepBelow(end: bigint): void;
  refresh(from: bigint, to: bigint): number;
  update(from: bigint, to: bigint): number;
}

export class Tables {
  readonly map = new AddressMap();
  /** How often all processors were to forget what they know of the tables, and whether they do. */
  synchronisations = 0;
  processorsForget = true;
  readonly format: Format;
  readonly #levels: number;
  readonly #core: Core;

  constructor({ format, levels = 4, largest = GIB, pool = 64 }: TableOptions) {
    this.format = format;
    this.#levels = levels;
    const view = (): DataView => new DataView(this.#core.memory.buffer);
    const imports = {
      metal: {
        ...atomicImports(view),
        fence: () => undefined,
        pause: () => undefined,
        thisProcessor: () => 0,
        physOf: (pointer: number) => BigInt(pointer >>> 0) + BigInt(LINEAR),
      },
      nested: {
        region: (base: bigint, size: bigint) => this.map.region(Number(base), Number(size)),
        typeOf: (base: bigint) => this.map.typeOf(Number(base)),
        synchronise: () => {
          this.synchronisations++;
          return Number(this.processorsForget);
        },
      },
    };
    this.#core = new WebAssembly.Instance(module, imports).exports as unknown as Core;
    this.#core.make(Number(format === "EPT"), levels, BigInt(largest), pool);
  }

  keepBelow(end: number): void {
    this.#core.keepBelow(BigInt(end));
  }
  /** Brings a range up to date; false if there were not enough tables, and all was dropped. */
  refresh(from: number, to: number): boolean {
    return this.#core.refresh(BigInt(from), BigInt(to)) !== 0;
  }
  /** The same for what is mapped. */
  update(from: number, to: number): boolean {
    return this.#core.update(BigInt(from), BigInt(to)) !== 0;
  }

  at(address: number): Page | undefined {
    return walk(this.format, (at) => this.#read(at), Number(this.#core.root()), this.#levels, address);
  }

  /** Every table that a processor may walk, by its address, with what is in it. */
  contents(): Map<number, string> {
    const tables = new Map<number, string>();
    const visit = (table: number, level: number): void => {
      if (tables.has(table)) return;
      tables.set(table, Buffer.from(this.#core.memory.buffer, table - LINEAR, PAGE).toString("latin1"));
      for (let i = 0; i < 512 && level > 1; i++) {
        const below = tableBelow(this.#read(table + 8 * i));
        if (below !== undefined) visit(below, level - 1);
      }
    };
    visit(Number(this.#core.root()), this.#levels);
    return tables;
  }

  /** What is at a table's address now. */
  page(address: number): string {
    return Buffer.from(this.#core.memory.buffer, address - LINEAR, PAGE).toString("latin1");
  }

  /** 64 bits of linear memory by their physical address. */
  #read(address: number): bigint {
    return new DataView(this.#core.memory.buffer).getBigUint64(address - LINEAR, true);
  }
}

/** The address of the table that an entry above the last level leads to. */
function tableBelow(entry: bigint): number | undefined {
  return (entry & 7n) === 0n || (entry & 0x80n) !== 0n ? undefined : Number(entry & 0xf_ffff_ffff_f000n);
}
