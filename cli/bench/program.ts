import { basename } from "node:path";
import type { Medium } from "../emulator/medium.ts";
import { startupMedium, type SheerStart } from "../guest/startup.ts";
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

/** A medium from which the program runs bare and then, on the same machine, as the guest. */
export function bareThenGuest(sheer: SheerStart, program: string): Medium {
  const name = basename(program);
  const lines = [name, `sheer.efi ${sheer.settings}`, name, "reset -s"];
  const medium = startupMedium(undefined, { kind: "shell", lines });
  medium.files[name] = { copyOf: program };
  medium.files["sheer.efi"] = { copyOf: sheer.efi };
  return medium;
}

/** The program's figures of both runs from such a medium. */
export function readBothFigures(console: string): [bare: Map<string, number>, guest: Map<string, number>] {
  const [bare = "", guest = ""] = console.split("@@ bench-done");
  return [readFigures(bare), readFigures(guest)];
}

/** The program's lines are "@@ bench NAME NUMBER". */
export function readFigures(console: string): Map<string, number> {
  return new Map([...console.matchAll(/^@@ bench (\S+) (\d+)/gm)].map(([, name, figure]) => [name!, Number(figure)]));
}
