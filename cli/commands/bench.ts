import type { Command } from "commander";
import { runBench } from "../bench/bench.ts";
import { describeRows } from "../bench/row.ts";
import { SheerError } from "../errors.ts";
import { interruptible } from "../interruption.ts";

export function addBenchCommand(program: Command): void {
  program
    .command("bench")
    .description("measure speed and size in an emulated PC, bare and with Sheer")
    .option("--json", "report as JSON")
    .action(async (flags: { json?: boolean }) => {
      const progress = (line: string): void => console.error(`measuring: ${line}`);
      const result = await interruptible((signal) => runBench({ signal, progress }));
      console.log(flags.json === true ? JSON.stringify(result, null, 2) : describeRows(result.rows));
      const missed = result.rows.filter(({ met }) => met === false).map(({ what }) => what);
      if (missed.length > 0) throw new SheerError(`Limits missed: ${missed.join(", ")}.`);
    });
}
