import type { SheerStart } from "../guest/startup.ts";
import type { PcOptions } from "../qemu/arguments.ts";
import { bootToEnd, type Bench } from "./boots.ts";

/** Runs a program that measures, bare or on Sheer; returns its figures, in ticks of the time stamp counter, by name. */
export async function runProgram(
  bench: Bench,
  sheer: SheerStart | undefined,
  program: string,
  pc: PcOptions = {},
): Promise<Map<string, number>> {
  const machine = await bootToEnd(bench, sheer, { kind: "efi", program, arguments: "" }, { pc });
  const figures = readFigures(machine.console.text);
  if (figures.size === 0) throw machine.failure(`${program} printed no figure.`);
  return figures;
}

/** The program's lines are "@@ bench NAME NUMBER". */
export function readFigures(console: string): Map<string, number> {
  return new Map([...console.matchAll(/^@@ bench (\S+) (\d+)/gm)].map(([, name, figure]) => [name!, Number(figure)]));
}
