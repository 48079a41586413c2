/** What core.wasm exports, as src/main.ts declares it. */
export interface CoreExports {
  readonly memory: WebAssembly.Memory;
  boot(info: number): bigint;
  processor(index: number): void;
  exit(run: number): number;
  wake(run: number): number;
  vmxExit(run: number): number;
  vmxWake(run: number): number;
  trap(kind: number, address: bigint): number;
}

/** Kinds that `trap` is told: a processor exception by its vector, or 0x100 and the number of a trap of the core. */
const PAGE_FAULT = 14;
const CORE_TRAP = 0x100;
const CORE_TRAPS: readonly [string, number][] = [
  ["divide by zero", 3],
  ["integer overflow", 2],
  ["unreachable", 5],
  ["indirect call", 6],
  ["table index is out of bounds", 6],
  ["null function", 6],
  ["call stack", 9],
];

/** The kind of a trap that WebAssembly raised; an access out of bounds is a page fault on a real machine. */
export function trapKind(error: Error): number {
  const known = CORE_TRAPS.find(([text]) => error.message.includes(text));
  return known ? CORE_TRAP + known[1] : PAGE_FAULT;
}

/** `halt` was called: this processor stops for good. */
export class Halted extends Error {
  constructor() {
    super("the core halted the processor");
  }
}
