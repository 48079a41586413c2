import { readFileSync } from "node:fs";
import { atomicImports, vectorImports } from "../../../machine/imports.ts";
import { compileCore } from "../../compile.ts";

/** The part of WebAssembly that is used here; Node's types leave it to those of browsers. */
interface WebAssemblyApi {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: Record<string, Record<string, CallableFunction>>) => { exports: unknown };
}
const { Module, Instance } = (globalThis as unknown as { WebAssembly: WebAssemblyApi }).WebAssembly;

const module = new Module(readFileSync(compileCore("decode", "test/unit/decode/core/guest.ts")));

/** What core/guest.ts exports. */
interface Core {
  memory: { buffer: ArrayBuffer };
  stateAddress(): number;
  begin(physicalBits: number, blockBase: bigint, blockSize: bigint): void;
  hook(base: bigint, length: bigint): number;
  unhook(base: bigint): number;
  findRecent(address: bigint): number;
  remembersHook(address: bigint): number;
  enterAfterChange(): void;
  step(): number;
  stepPort(): number;
  stepAt(address: bigint): number;
  walk(linear: bigint, access: number): bigint;
  decodeOnly(): number;
  length(): number;
  controlMove(): number;
  operation(): number;
  inMemory(): number;
  segment(): number;
  baseRegister(): number;
  indexRegister(): number;
  scale(): number;
  displacement(): bigint;
  immediate(): bigint;
  width(): number;
}

/** Outcome of src/decode/outcome.ts. */
export const Outcome = { Done: 0, Faulted: 1, Unfinished: 2, Unknown: 3 } as const;
/** Exception vectors; None if nothing was raised. */
export const Vector = {
  DivideError: 0,
  InvalidOpcode: 6,
  DeviceNotAvailable: 7,
  StackFault: 12,
  GeneralProtection: 13,
  PageFault: 14,
  AlignmentCheck: 17,
  None: 0xff,
} as const;

const REGISTER_NAMES = ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"];
export type RegisterName = "rax" | "rcx" | "rdx" | "rbx" | "rsp" | "rbp" | "rsi" | "rdi" | "rip" | "rflags";

/** An access that reached the device. */
export interface DeviceAccess {
  address: bigint;
  width: number;
  /** What was written; undefined for a read. */
  value?: bigint;
}

const MEMORY_SIZE = 16 << 20;
const BLOCK = 0xf0_0000n;
const BLOCK_END = 0x100_0000n;
const PML4 = 0x10_0000;
const PDPT = 0x10_1000;

function unused(): never {
  throw new Error("no instruction does this");
}

/** A guest processor of the core, with 16 MiB of memory of its own and a device behind the hooks. */
export class Guest {
  readonly memory = new Uint8Array(MEMORY_SIZE);
  readonly view = new DataView(this.memory.buffer);
  readonly core: Core;
  readonly accesses: DeviceAccess[] = [];
  /** YMM0 to YMM15, 32 bytes each. */
  readonly vectors = new Uint8Array(16 * 32);
  xcr0 = 7n;
  pkru = 0;
  /** CPUID tells of BMI1 and ABM. */
  countsZeros = true;
  /** What the device answers to a read. */
  deviceValue: (address: bigint, width: number) => bigint = () => 0n;
  private readonly words: BigUint64Array;
  private readonly halves: Uint32Array;
  private readonly state: DataView;

  constructor() {
    const instance = new Instance(module, { metal: this.metal(), guest: this.device() });
    this.core = instance.exports as Core;
    const address = this.core.stateAddress();
    this.words = new BigUint64Array(this.core.memory.buffer, address, 23);
    this.halves = new Uint32Array(this.core.memory.buffer, address + 184, 4);
    this.state = new DataView(this.core.memory.buffer, address, 200 + 96);
    this.core.begin(40, BLOCK, BLOCK_END - BLOCK);
    this.longMode();
  }

  register(index: number): bigint {
    return this.words[index]!;
  }
  setRegister(index: number, value: bigint): void {
    this.words[index] = value;
  }
  get(name: RegisterName): bigint {
    return this.words[Guest.index(name)]!;
  }
  set(name: RegisterName, value: bigint): void {
    this.words[Guest.index(name)] = value;
  }
  private static index(name: RegisterName): number {
    return name === "rip" ? 16 : name === "rflags" ? 17 : REGISTER_NAMES.indexOf(name);
  }
  setControl(registers: { cr0?: bigint; cr3?: bigint; cr4?: bigint; efer?: bigint }): void {
    if (registers.cr0 !== undefined) this.words[18] = registers.cr0;
    if (registers.cr3 !== undefined) this.words[20] = registers.cr3;
    if (registers.cr4 !== undefined) this.words[21] = registers.cr4;
    if (registers.efer !== undefined) this.words[22] = registers.efer;
  }
  setMode(codeBits: 16 | 32 | 64, cpl = 0): void {
    this.halves[0] = cpl;
    this.halves[1] = codeBits;
  }
  get cr2(): bigint {
    return this.words[19]!;
  }
  get exception(): number {
    return this.halves[2]!;
  }
  get error(): number {
    return this.halves[3]!;
  }
  setSegment(segment: number, { base = 0n, limit = 0xffffffff, attributes = 0xc93, selector = 0 }): void {
    const at = 200 + segment * 16;
    this.state.setBigUint64(at, base, true);
    this.state.setUint32(at + 8, limit, true);
    this.state.setUint16(at + 12, attributes, true);
    this.state.setUint16(at + 14, selector, true);
  }

  /** 64-bit mode at privilege level 0; the first GiB mapped to itself. */
  longMode(): void {
    this.view.setBigUint64(PML4, BigInt(PDPT) | 0x27n, true);
    this.view.setBigUint64(PDPT, 0xe7n, true);
    this.setControl({ cr0: 0x8001_0033n, cr3: BigInt(PML4), cr4: 0x4_0620n, efer: 0xd00n });
    this.setMode(64);
    this.flatSegments(true);
  }
  /** 32-bit protected mode without paging and with flat segments. */
  protectedMode(): void {
    this.setControl({ cr0: 0x33n, cr4: 0x4_0600n, efer: 0n });
    this.setMode(32);
    this.flatSegments(true);
  }
  realMode(): void {
    this.setControl({ cr0: 0x10n, cr4: 0x4_0600n, efer: 0n });
    this.setMode(16);
    this.flatSegments(false);
  }
  private flatSegments(big: boolean): void {
    const limit = big ? 0xffffffff : 0xffff;
    for (let segment = 0; segment < 6; segment++) this.setSegment(segment, { limit, attributes: big ? 0xc93 : 0x93 });
    this.setSegment(1, { limit, attributes: big ? 0xc9b : 0x9b });
  }

  /** Puts code at an address of the first 16 MiB and RIP there. */
  code(bytes: ArrayLike<number>, address = 0x1000): void {
    this.memory.set(bytes, address);
    this.set("rip", BigInt(address));
  }

  private metal(): Record<string, CallableFunction> {
    const { view } = this;
    const there = (address: bigint, width: number) => address + BigInt(width) <= BigInt(MEMORY_SIZE);
    const written = (address: bigint, width: number) => {
      if (address < BLOCK_END && address + BigInt(width) > BLOCK)
        throw new Error(`Sheer's block: 0x${address.toString(16)}`);
      return there(address, width);
    };
    return {
      physRead8: (a: bigint) => (there(a, 1) ? view.getUint8(Number(a)) : 0xff),
      physRead16: (a: bigint) => (there(a, 2) ? view.getUint16(Number(a), true) : 0xffff),
      physRead32: (a: bigint) => (there(a, 4) ? view.getUint32(Number(a), true) : 0xffffffff),
      physRead64: (a: bigint) => (there(a, 8) ? view.getBigUint64(Number(a), true) : 0xffff_ffff_ffff_ffffn),
      physWrite8: (a: bigint, v: number) => written(a, 1) && view.setUint8(Number(a), v),
      physWrite16: (a: bigint, v: number) => written(a, 2) && view.setUint16(Number(a), v, true),
      physWrite32: (a: bigint, v: number) => written(a, 4) && view.setUint32(Number(a), v, true),
      physWrite64: (a: bigint, v: bigint) => written(a, 8) && view.setBigUint64(Number(a), v, true),
      physCompareExchange32: (a: bigint, expected: number, v: number) => {
        const old = written(a, 4) ? view.getUint32(Number(a), true) : 0xffff_ffff;
        if (there(a, 4) && old === expected >>> 0) view.setUint32(Number(a), v, true);
        return old;
      },
      physCompareExchange64: (a: bigint, expected: bigint, v: bigint) => {
        const old = written(a, 8) ? view.getBigUint64(Number(a), true) : 0xffff_ffff_ffff_ffffn;
        if (there(a, 8) && old === BigInt.asUintN(64, expected)) view.setBigUint64(Number(a), v, true);
        return old;
      },
      ...atomicImports(() => new DataView(this.core.memory.buffer)),
      ...vectorImports(
        () => this.vectors,
        () => new DataView(this.core.memory.buffer),
      ),
      readXcr0: () => this.xcr0,
      readPkru: () => this.pkru,
      cpuid: (leaf: number, _subleaf: number, result: number) => {
        const registers = new BigUint64Array(this.core.memory.buffer, result, 4);
        registers.set([0n, leaf === 7 || !this.countsZeros ? 0n : 1n << 5n, 0n, this.countsZeros ? 1n << 3n : 0n]);
      },
      thisProcessor: () => 0,
      // what only the rest of a processor needs
      pause: unused,
      openInterruptWindow: unused,
      rdmsr: unused,
      wrmsr: unused,
      // no device decodes any port
      in8: () => 0xff,
      in16: () => 0xffff,
      in32: () => 0xffff_ffff,
      out8: () => undefined,
      out16: () => undefined,
      out32: () => undefined,
    };
  }

  private device(): Record<string, CallableFunction> {
    return {
      deviceRead: (address: bigint, width: number) => {
        this.accesses.push({ address, width });
        return this.deviceValue(address, width);
      },
      deviceWrite: (address: bigint, width: number, value: bigint) => {
        this.accesses.push({ address, width, value: BigInt.asUintN(64, value) });
      },
    };
  }
}

/** Pseudo-random 32-bit numbers from a seed (xorshift32), the same on every run. */
export function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}
