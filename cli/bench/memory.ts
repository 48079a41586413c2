import type { SheerStart } from "../guest/startup.ts";
import { bootMedium, type Bench } from "./boots.ts";
import { bareThenGuest, readBothFigures } from "./program.ts";
import { makeRow, type Row } from "./row.ts";

/** In MiB: more than the lower 4 GiB hold. Most of a machine's memory lies above, where nothing parts large pages. */
const memory = 4096;

/**
 * What it costs to touch pages at random, by the clock of the wall: with Sheer each new translation is a walk of the guest's
 * page tables and, at each of its steps, of the nested ones.
 */
export async function measureTouches(bench: Bench, sheer: SheerStart): Promise<Row> {
  const { buildProgramOf } = await import("../build/build.ts");
  const program = await buildProgramOf("guest/programs/touch.ts", { signal: bench.signal });
  const machine = await bootMedium(bench, bareThenGuest(sheer, program), { cpus: 1, memory });
  const [bare, guest] = readBothFigures(machine.console.text).map((figures) => figures.get("touch"));
  return makeRow("a thousand pages of 512 MiB touched at random", "ticks", bare, guest, { ratioAtMost: 1.4 });
}
