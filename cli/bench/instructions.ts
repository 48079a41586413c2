import type { SheerStart } from "../guest/startup.ts";
import type { Bench } from "./boots.ts";
import { runProgram } from "./program.ts";
import { makeRow, makeScalingRow, type Limit, type Row } from "./row.ts";

/** At most so many instructions from the guest's loop to its loop, by the name that the program prints. */
const limits: Record<string, Limit> = {
  cpuid: { atMost: 150 },
  "in-cf8": { atMost: 250 },
  "in-cfc": { atMost: 300 },
  "cr0-wp": { atMost: 60 },
  "apic-read": { atMost: 250 },
  "apic-write": { atMost: 250 },
  "mmio-read": { atMost: 300 },
  "mmio-write": { atMost: 300 },
};

/**
 * The firmware waits by the clock; at 16 nanoseconds an instruction it waits a sixteenth of the instructions that it
 * would at one. What is counted is the same, in units of 1/16.
 */
const instructionShift = 4;

const severalProcessors = [2, 4];

/**
 * Runs the program that measures single instructions, bare and with Sheer, while the emulator counts instructions: the
 * time stamp counter, which it reads, is then the number of instructions since power-on.
 */
export async function measureInstructions(bench: Bench, sheer: SheerStart): Promise<Row[]> {
  const { buildProgramOf } = await import("../build/build.ts");
  const program = await buildProgramOf("guest/programs/instructions.ts", { signal: bench.signal });
  const bare = await runCounting(bench, undefined, program);
  const withSheer = await runCounting(bench, sheer, program);
  return [...withSheer].map(([name, figure]) => makeRow(name, "instructions", bare.get(name), figure, limits[name]));
}

/**
 * What a CPUID costs when two and four processors execute them in turns, in instructions of all together, beside what it
 * costs with one: it grows if an exit has work to do for each processor. How long processors wait for each other it does
 * not tell: the emulator that counts instructions runs them in turns, and seldom leaves one in the midst of an exit.
 */
export async function measureScaling(bench: Bench, sheer: SheerStart): Promise<Row[]> {
  const { buildProgramOf } = await import("../build/build.ts");
  const program = await buildProgramOf("guest/programs/scaling.ts", { signal: bench.signal });
  const costs: number[] = [];
  for (const cpus of [1, ...severalProcessors])
    costs.push(...(await runCounting(bench, sheer, program, cpus)).values());
  const [one, ...several] = costs;
  return severalProcessors.map((cpus, i) =>
    makeScalingRow(`cpuid, ${cpus} processors in turns`, "instructions", one!, several[i]!, 1.1),
  );
}

async function runCounting(
  bench: Bench,
  sheer: SheerStart | undefined,
  program: string,
  cpus = 1,
): Promise<Map<string, number>> {
  const figures = await runProgram(bench, sheer, program, { instructionShift, cpus });
  return new Map([...figures].map(([name, ticks]) => [name, ticks / 2 ** instructionShift]));
}
