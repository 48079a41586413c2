// The bodies of src/metal.ts: module "metal" of core.wasm. Numbers come signed and 64-bit ones as BigInt.
import type { Width } from "./bits.ts";
import { GeneralProtection } from "./msrs.ts";
import type { Machine } from "./machine.ts";
import { Halted } from "./core.ts";
import { vmxImports } from "./vmx/imports.ts";

const MAXIMUM_ARGUMENTS = 7;
/** What accesses cost in simulated time, in nanoseconds. */
export const Cost = { Port: 1000, Mmio: 200, Pause: 40, Tsc: 20 } as const;
const WINDOW_EXTERNAL = 1 << 8;
const WINDOW_NMI = 1 << 9;

const address = (value: bigint): number => Number(BigInt.asUintN(64, value));

/** Processors of the simulated machine take turns: each access is whole. */
export function atomicImports(linear: () => DataView): Record<string, unknown> {
  const change = (pointer: number, changed: (old: number) => number): number => {
    const old = linear().getUint32(pointer >>> 0, true);
    linear().setUint32(pointer >>> 0, changed(old) >>> 0, true);
    return old;
  };
  return {
    atomicLoad32: (pointer: number) => linear().getUint32(pointer >>> 0, true),
    atomicStore32: (pointer: number, value: number) => linear().setUint32(pointer >>> 0, value >>> 0, true),
    atomicAdd32: (pointer: number, value: number) => change(pointer, (old) => old + value),
    atomicExchange32: (pointer: number, value: number) => change(pointer, () => value),
    atomicCompareExchange32: (pointer: number, expected: number, value: number) =>
      change(pointer, (old) => (old === expected >>> 0 ? value : old)),
  };
}

function memoryImports({ memory }: Machine, linear: () => DataView, linearBase: () => number): Record<string, unknown> {
  return {
    physRead8: (at: bigint) => memory.read8(address(at)),
    physRead16: (at: bigint) => memory.read16(address(at)),
    physRead32: (at: bigint) => memory.read32(address(at)),
    physRead64: (at: bigint) => memory.read64(address(at)),
    physWrite8: (at: bigint, value: number) => memory.write8(address(at), value),
    physWrite16: (at: bigint, value: number) => memory.write16(address(at), value),
    physWrite32: (at: bigint, value: number) => memory.write32(address(at), value),
    physWrite64: (at: bigint, value: bigint) => memory.write64(address(at), value),
    physCompareExchange32: (at: bigint, expected: number, value: number) => {
      const old = memory.read32(address(at));
      if (old === expected >>> 0) memory.write32(address(at), value);
      return old;
    },
    physCompareExchange64: (at: bigint, expected: bigint, value: bigint) => {
      const old = memory.read64(address(at));
      if (old === BigInt.asUintN(64, expected)) memory.write64(address(at), value);
      return old;
    },
    physCopy: (to: bigint, from: bigint, length: bigint) => {
      const [target, source, bytes] = [address(to), address(from), address(length)];
      if (!memory.isRam(target, bytes) || !memory.isRam(source, bytes)) {
        throw new Error(`physCopy of ${bytes} bytes from ${source.toString(16)} to ${target.toString(16)}: not memory`);
      }
      if (target < source + bytes && source < target + bytes) throw new Error("physCopy: the ranges overlap");
      memory.writeBytes(target, memory.readBytes(source, bytes));
    },
    physOf: (pointer: number) => BigInt(linearBase() + (pointer >>> 0)),
    fence: () => undefined,
    ...atomicImports(linear),
  };
}

function portImports({ ports }: Machine): Record<string, unknown> {
  const reader = (width: Width) => (port: number) => ports.read(port & 0xffff, width);
  const writer = (width: Width) => (port: number, value: number) => ports.write(port & 0xffff, width, value);
  return { in8: reader(1), in16: reader(2), in32: reader(4), out8: writer(1), out16: writer(2), out32: writer(4) };
}

/** Runs an MSR access; false if the processor raised #GP. */
function succeeds(access: () => void): number {
  try {
    access();
    return 1;
  } catch (error) {
    if (error instanceof GeneralProtection) return 0;
    throw error;
  }
}

/** Moves between vector registers, 32 bytes each in `vectors()`, and linear memory. */
export function vectorImports(vectors: () => Uint8Array, linear: () => DataView): Record<string, unknown> {
  const register = (index: number, wide: number) => vectors().subarray(32 * index, 32 * index + (wide ? 32 : 16));
  const words = (pointer: number, wide: number) => new Uint8Array(linear().buffer, pointer >>> 0, wide ? 32 : 16);
  return {
    readVector: (index: number, to: number, wide: number) => words(to, wide).set(register(index, wide)),
    writeVector: (index: number, from: number, wide: number) => register(index, wide).set(words(from, wide)),
  };
}

/** What acts on the processor that runs. */
function processorImports(machine: Machine, linear: () => DataView): Record<string, unknown> {
  const { processors, clock } = machine;
  const read = (index: number): bigint => processors.current.msrs.read(index >>> 0);
  const write = (index: number, value: bigint): void => {
    processors.current.msrs.write(index >>> 0, BigInt.asUintN(64, value));
  };
  return {
    rdmsr: read,
    wrmsr: write,
    tryRdmsr: (index: number, result: number) => succeeds(() => linear().setBigUint64(result >>> 0, read(index), true)),
    tryWrmsr: (index: number, value: bigint) => succeeds(() => write(index, value)),
    cpuid: (leaf: number, subleaf: number, result: number) => {
      const [eax, ebx, ecx, edx] = processors.current.cpuid.query(leaf >>> 0, subleaf >>> 0);
      [eax, ecx, edx, ebx].forEach((value, i) =>
        linear().setBigUint64((result >>> 0) + 8 * i, BigInt(value >>> 0), true),
      );
    },
    readTsc: () => {
      clock.advance(Cost.Tsc);
      return machine.tsc();
    },
    readCr2: () => BigInt.asIntN(64, processors.current.unswitched.cr2),
    wbinvd: () => machine.cacheWriteBacks++,
    thisProcessor: () => processors.current.index,
    processorEntry: () => BigInt(machine.processorEntry),
    processorStack: () => 0n,
    ...vectorImports(() => processors.current.vectors, linear),
    readXcr0: () => processors.current.unswitched.xcr0,
    readPkru: () => 0,
    clearBreakpoints: () => {
      processors.current.breakpointsCleared++;
      processors.current.unswitched.dr6 = 0xffff_0ff0n;
    },
    pause: () => {
      clock.advance(Cost.Pause);
      processors.pause();
    },
    halt: () => {
      throw new Halted();
    },
    openInterruptWindow: (external: number) => {
      const { apic } = processors.current;
      const nmi = apic.nmi ? WINDOW_NMI : 0;
      apic.nmi = false;
      const vector = external ? apic.acknowledge() : -1;
      return nmi | (vector < 0 ? 0 : WINDOW_EXTERNAL | vector);
    },
  };
}

/** What core.wasm imports, on this machine. */
export function metalImports(
  machine: Machine,
  linear: () => DataView,
  linearBase: () => number,
): Record<string, unknown> {
  const imports: Record<string, unknown> = {
    ...memoryImports(machine, linear, linearBase),
    ...portImports(machine),
    ...processorImports(machine, linear),
    firmwareCall: (target: bigint, args: number, count: number) => {
      if (machine.guestRuns) throw new Error("the firmware was called after the guest first ran");
      if (count >>> 0 > MAXIMUM_ARGUMENTS) throw new Error(`a firmware call with ${count} arguments`);
      const values = Array.from({ length: count }, (_, i) => linear().getBigUint64((args >>> 0) + 8 * i, true));
      return machine.firmware.call(address(target), values);
    },
    runSvmGuest: (run: number) => machine.startSvmGuest(run >>> 0),
    ...vmxImports(machine.processors, (run) => {
      machine.startVmxGuest(run);
    }),
    functionName: () => 0,
    coreHash: (buffer: number) => {
      for (let i = 0; i < 64; i++) linear().setUint8((buffer >>> 0) + i, machine.coreHash.charCodeAt(i));
    },
  };
  const { onImport } = machine.options;
  if (onImport) for (const [name, body] of Object.entries(imports)) imports[name] = announced(name, body, onImport);
  return imports;
}

/** The same function, of whose every call somebody is told beforehand. */
function announced(name: string, body: unknown, told: (name: string) => void): unknown {
  return (...args: unknown[]): unknown => {
    told(name);
    return (body as (...args: unknown[]) => unknown)(...args);
  };
}
