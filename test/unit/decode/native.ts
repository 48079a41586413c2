import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Where native/processor.c puts a case's code and the middle of its 256 bytes of memory, a page border. */
export const CODE = 0x1000_0000n;
export const DATA = 0x2000_1000n;
export const WINDOW_SIZE = 256;

/** DATA as an offset in the data segment of 16-bit code. */
export const DATA_16 = 0x8000n;

/** One instruction with the state before it or after it. */
export interface State {
  registers: bigint[];
  flags: bigint;
  /** The flags that the manual leaves undefined after it. */
  undefined: bigint;
  bits: 16 | 32 | 64;
  code: number[];
  memory: Uint8Array;
  /** YMM0 to YMM15, 32 bytes each. */
  vectors: Uint8Array;
}

/** Whether this machine's processor has the instructions with VEX prefixes that are compared. */
export const hasAvx = readFileSync("/proc/cpuinfo", "latin1").includes(" avx2 ");

const VECTORS = 168 + WINDOW_SIZE;
const RECORD = VECTORS + 16 * 32;

/** As struct state of native/state.h. */
export function encode(states: State[]): Uint8Array {
  const bytes = new Uint8Array(states.length * RECORD);
  states.forEach((state, i) => {
    const view = new DataView(bytes.buffer, i * RECORD, RECORD);
    state.registers.forEach((value, register) => view.setBigUint64(register * 8, value, true));
    view.setBigUint64(128, state.flags, true);
    view.setBigUint64(136, state.undefined, true);
    view.setUint32(144, state.bits, true);
    view.setUint32(148, state.code.length, true);
    bytes.set(state.code, i * RECORD + 152);
    bytes.set(state.memory, i * RECORD + 168);
    bytes.set(state.vectors, i * RECORD + VECTORS);
  });
  return bytes;
}

function decode(bytes: Uint8Array, before: State[]): State[] {
  return before.map(({ bits, code, undefined: undefinedFlags }, i) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset + i * RECORD, RECORD);
    return {
      registers: Array.from({ length: 16 }, (_, register) => view.getBigUint64(register * 8, true)),
      flags: view.getBigUint64(128, true),
      undefined: undefinedFlags,
      bits,
      code,
      memory: bytes.slice(i * RECORD + 168, i * RECORD + VECTORS),
      vectors: bytes.slice(i * RECORD + VECTORS, (i + 1) * RECORD),
    };
  });
}

/** Builds native/processor.c, gives it to `use`, and takes it away again. */
function withProgram<T>(use: (program: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), "sheer-decode-"));
  try {
    const program = join(folder, "processor");
    const source = fileURLToPath(new URL("native/processor.c", import.meta.url));
    execFileSync("clang", ["-O1", ...(hasAvx ? ["-DAVX"] : []), "-o", program, source]);
    return use(program);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Whether this machine's kernel runs code of so many bits: some leave out 32-bit programs, and with them their segment. */
export function runsCodeOf(bits: 32 | 64): boolean {
  return bits === 64 || withProgram((program) => spawnSync(program, ["32"]).status === 0);
}

/** What this machine's own processor makes of the states. */
export function runNatively(states: State[]): State[] {
  return withProgram((program) => decode(execFileSync(program, { input: encode(states), maxBuffer: 1 << 30 }), states));
}
