import type { SheerStart } from "../guest/startup.ts";
import type { Bench } from "./boots.ts";
import { runProgram } from "./program.ts";
import { makeRow, type Limit, type Row } from "./row.ts";

/**
 * What it costs to touch pages at random, by the clock of the wall. The emulator keeps all translations of 512 MiB; those
 * that a processor forgets cost with Sheer a walk of the guest's page tables and, at each of its steps, of the nested ones.
 */
export async function measureTouches(bench: Bench, sheer: SheerStart): Promise<Row[]> {
  const { buildProgramOf } = await import("../build/build.ts");
  const program = await buildProgramOf("guest/programs/touch.ts", { signal: bench.signal });
  const bare = await runProgram(bench, undefined, program);
  const withSheer = await runProgram(bench, sheer, program);
  const row = (what: string, name: string, limit?: Limit): Row =>
    makeRow(what, "ticks", bare.get(name), withSheer.get(name), limit);
  return [
    row("a thousand pages of 512 MiB touched at random", "touch", { ratioAtMost: 1.4 }),
    row("the same, translations forgotten after 1024 touches", "touch-forgetting"),
  ];
}
