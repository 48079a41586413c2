import type { Command } from "commander";
import { runDemo, type DemoResult } from "../demo/demo.ts";
import { describe } from "../demo/describe.ts";
import { SheerError } from "../errors.ts";
import { interruptible } from "../interruption.ts";
import { portNumber } from "./values.ts";

interface DemoFlags {
  bare?: boolean;
  rom?: boolean;
  port?: number;
  json?: boolean;
}

export function addDemoCommand(program: Command): void {
  program
    .command("demo")
    .description("boot Debian on Sheer in an emulated PC, use its network, and report what it saw")
    .option("--bare", "the same guest without Sheer, on the network card itself")
    .option("--rom", "give the network card its option ROM, so that the firmware uses it before Sheer does")
    .option("--port <number>", "TCP port of the loopback for the guest's transfers (default: any free one)", portNumber)
    .option("--json", "report as JSON")
    .action(async (flags: DemoFlags) => {
      const progress = (line: string): void => console.error(line);
      const result = await interruptible((signal) => runDemo({ ...flags, progress, signal }));
      console.log(flags.json === true ? JSON.stringify(publicPart(result), null, 2) : describe(result));
      if (result.missing.length > 0)
        throw new SheerError(
          [`This was not seen:`, ...result.missing.map((what) => `  - ${what}`), result.serialEnds].join("\n"),
        );
    });
}

/** The report without the long ends of the serial lines, which go to stderr when something is missing. */
function publicPart({ serialEnds: _serialEnds, ...rest }: DemoResult): Omit<DemoResult, "serialEnds"> {
  return rest;
}
