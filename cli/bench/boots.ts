import { existsSync } from "node:fs";
import type { Medium } from "../emulator/medium.ts";
import { MissingEnvironmentError } from "../errors.ts";
import { makeDebianGuest } from "../guest/linux.ts";
import { startupMedium, type GuestProgram, type SheerStart } from "../guest/startup.ts";
import { sheerEfi } from "../paths.ts";
import type { PcOptions } from "../qemu/arguments.ts";
import { Machine } from "../qemu/machine.ts";
import { withTemporaryFolder } from "../temporary.ts";

/** What every measurement is given. */
export interface Bench {
  signal: AbortSignal;
  progress: (line: string) => void;
}

/**
 * One nanosecond an instruction, about what a real processor needs. By the clock of the wall an emulated one is slower,
 * and each of its timer ticks, which come by that clock, is two to five exits; and the number would differ each time.
 */
export const instructionShift = 0;

/** Longer than any measured boot takes on a slow and busy machine. */
export const bootSeconds = 1000;

export function benchSheer(): SheerStart {
  if (!existsSync(sheerEfi)) throw new MissingEnvironmentError("dist/sheer.efi is not built yet; run: npm run build");
  return { efi: sheerEfi, settings: "log=0x3e8" };
}

export interface BootOptions {
  pc?: PcOptions;
  /** Called when the PC has just been switched on. */
  watch?: (machine: Machine) => void;
}

/** Boots a guest, waits until it switches the PC off, and returns the PC for what its serial lines showed. */
export async function bootToEnd(
  bench: Bench,
  sheer: SheerStart | undefined,
  guest: GuestProgram,
  { pc = {}, watch }: BootOptions = {},
): Promise<Machine> {
  // One processor: figures of several would depend on how the emulator and its machine share theirs out.
  return bootMedium(bench, startupMedium(sheer, guest), { cpus: 1, ...pc }, watch);
}

/** The same from a medium made before. */
export async function bootMedium(
  bench: Bench,
  medium: Medium,
  pc: PcOptions,
  watch?: BootOptions["watch"],
): Promise<Machine> {
  const machine = await Machine.start(pc, medium, bench.signal);
  watch?.(machine);
  try {
    await machine.waitForEnd(bootSeconds);
    return machine;
  } finally {
    await machine.stop();
  }
}

/** As `bootToEnd`, with the demonstration's Debian; `append` and `moreSteps` as there. */
export async function bootDebian(
  bench: Bench,
  sheer: SheerStart | undefined,
  { append = "", moreSteps, ...options }: BootOptions & { append?: string; moreSteps?: string },
): Promise<Machine> {
  return withTemporaryFolder("bench", async (folder) => {
    const linux = await makeDebianGuest(folder, moreSteps);
    return bootToEnd(
      bench,
      sheer,
      { kind: "linux", ...linux, append: `console=ttyS0 quiet ${append}`.trim() },
      options,
    );
  });
}
