// The guest's address space of the core, with memory and devices that the test has. An access finds its way as the guest's
// does: by the nested page tables, and where these have nothing, by what Sheer answers to a nested page fault.
import { readFileSync } from "node:fs";
import { atomicImports } from "../../../machine/imports.ts";
import { compileCore } from "../../compile.ts";
import { PAGE } from "./tables.ts";
import { type Page, walk } from "./walker.ts";

const module = new WebAssembly.Module(readFileSync(compileCore("space", "test/unit/memory/core/space.ts")));
/** Linear memory lies here, at the start of the block. */
export const BLOCK = 0x3d00_0000;
export const BLOCK_SIZE = 0x100_0000;
export const PHYSICAL_BITS = 40;
const GIGABYTE_PAGES = 1n << 26n;

interface Core {
  readonly memory: { readonly buffer: ArrayBuffer };
  begin(base: bigint, size: bigint): bigint;
  hook(base: bigint, length: bigint, device: number): number;
  unhook(base: bigint): void;
  touches(base: bigint, length: bigint): number;
  mapOnDemand(address: bigint): number;
  read(address: bigint, width: number): bigint;
  write(address: bigint, width: number, value: bigint): void;
}

export interface DeviceAccess {
  readonly device: number;
  readonly address: number;
  readonly width: number;
  /** What was written; undefined for a read. */
  readonly value?: bigint;
}

export class Space {
  /** Accesses that reached a device. */
  readonly accesses: DeviceAccess[] = [];
  /** Told of each before it is answered. */
  onDevice: (access: DeviceAccess) => void = () => undefined;
  faults = 0;
  readonly #bytes = new Map<number, number>();
  readonly #core: Core;
  readonly #root: number;

  constructor() {
    const instance = new WebAssembly.Instance(module, { metal: this.#metal(), space: this.#devices() });
    this.#core = instance.exports as unknown as Core;
    this.#root = Number(this.#core.begin(BigInt(BLOCK), BigInt(BLOCK_SIZE)));
  }

  hook(base: number, length: number, device: number): boolean {
    return this.#core.hook(BigInt(base), BigInt(length), device) !== 0;
  }
  unhook(base: number): void {
    this.#core.unhook(BigInt(base));
  }

  /** The page that the nested tables have for an address. */
  page(address: number): Page | undefined {
    const view = new DataView(this.#core.memory.buffer);
    return walk("NPT", (at) => view.getBigUint64(at - BLOCK, true), this.#root, 4, address);
  }

  /** An access of the guest's, in one page. */
  read(address: number, width: number): bigint {
    if (this.#direct(address)) return this.#plain(address, width);
    return BigInt.asUintN(8 * width, this.#core.read(BigInt(address), width));
  }
  write(address: number, width: number, value: bigint): void {
    if (this.#direct(address)) this.#setPlain(address, width, value);
    else this.#core.write(BigInt(address), width, value);
  }

  /** Whether the tables lead an access to memory; if not, because a hook is in the page. */
  #direct(address: number): boolean {
    const page = address - (address % PAGE);
    if (this.page(address)) return true;
    this.faults++;
    if (this.#core.touches(BigInt(page), BigInt(PAGE))) return false;
    if (!this.#core.mapOnDemand(BigInt(address)) || !this.page(address)) throw new Error("an address is not mapped");
    return true;
  }

  #plain(address: number, width: number): bigint {
    let value = 0n;
    for (let i = width - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.#bytes.get(address + i) ?? 0);
    return value;
  }
  #setPlain(address: number, width: number, value: bigint): void {
    for (let i = 0; i < width; i++) this.#bytes.set(address + i, Number((value >> BigInt(8 * i)) & 0xffn));
  }

  #metal(): Record<string, unknown> {
    const read = (width: number) => (address: bigint) => {
      const value = this.#plain(Number(address), width);
      return width === 8 ? value : Number(value);
    };
    const write = (width: number) => (address: bigint, value: bigint | number) =>
      this.#setPlain(Number(address), width, BigInt.asUintN(64, BigInt(value)));
    const used = {
      ...atomicImports(() => new DataView(this.#core.memory.buffer)),
      cpuid: (leaf: number, _subleaf: number, at: number) => {
        const words = new BigUint64Array(this.#core.memory.buffer, at, 4).fill(0n);
        if (leaf >>> 0 === 0x8000_0008) words[0] = BigInt(PHYSICAL_BITS);
        if (leaf >>> 0 === 0x8000_0001) words[2] = GIGABYTE_PAGES;
      },
      thisProcessor: () => 0,
      physOf: (pointer: number) => BigInt((pointer >>> 0) + BLOCK),
      fence: () => undefined,
      ...Object.fromEntries(
        [1, 2, 4, 8].flatMap((n) => [
          [`physRead${8 * n}`, read(n)],
          [`physWrite${8 * n}`, write(n)],
        ]),
      ),
    };
    const unused = (): never => {
      throw new Error("no test does this");
    };
    return new Proxy(used, { get: (all, name) => (all as Record<string | symbol, unknown>)[name] ?? unused });
  }

  #devices(): Record<string, unknown> {
    return {
      deviceRead: (device: number, at: bigint, width: number) => {
        const access = { device, address: Number(at), width };
        this.accesses.push(access);
        this.onDevice(access);
        return answer(device, Number(at), width);
      },
      deviceWrite: (device: number, at: bigint, width: number, value: bigint) => {
        const access = { device, address: Number(at), width, value: BigInt.asUintN(8 * width, value) };
        this.accesses.push(access);
        this.onDevice(access);
      },
    };
  }
}

/** What a device has at an address: each byte tells the device and the place. */
export function answer(device: number, address: number, width: number): bigint {
  let value = 0n;
  for (let i = width - 1; i >= 0; i--)
    value = (value << 8n) | (BigInt(0x80 | (device << 3) | ((address + i) & 7)) & 0xffn);
  return value;
}
