import { existsSync } from "node:fs";
import { onTestFailed, onTestFinished } from "vitest";
import type { BochsOptions } from "../../cli/bochs/configuration.ts";
import { BochsMachine } from "../../cli/bochs/machine.ts";
import type { Emulator } from "../../cli/emulator/emulator.ts";
import type { Medium } from "../../cli/emulator/medium.ts";
import { makeDebianGuest } from "../../cli/guest/linux.ts";
import { startupMedium, type GuestProgram, type SheerStart } from "../../cli/guest/startup.ts";
import { sheerEfi } from "../../cli/paths.ts";
import type { PcOptions } from "../../cli/qemu/arguments.ts";
import { Machine } from "../../cli/qemu/machine.ts";
import { makeTemporaryFolder } from "../temporary.ts";

/** Sheer as it was built, with its log on; `settings` are more tokens for its command line. */
export function sheer(settings = ""): SheerStart {
  if (!existsSync(sheerEfi)) throw new Error("dist/sheer.efi is not built; run: npm run build");
  return { efi: sheerEfi, settings: `log=0x3e8 ${settings}`.trim() };
}

/** Debian as in the demonstration; its init runs `moreSteps`, shell text, before it switches the machine off. */
export async function debian(moreSteps?: string, append = ""): Promise<GuestProgram> {
  const linux = await makeDebianGuest(makeTemporaryFolder(), moreSteps);
  return { kind: "linux", ...linux, append: `console=ttyS0 ${append}`.trim() };
}

/** Starts a PC that is switched off when the test ends; without `start` the guest runs bare. */
export function boot(start: SheerStart | undefined, guest: GuestProgram, pc: PcOptions = {}): Promise<Machine> {
  return bootFrom(startupMedium(start, guest), pc);
}

/** As `boot`, from a medium made by hand. */
export async function bootFrom(medium: Medium, pc: PcOptions = {}): Promise<Machine> {
  return untilTheEnd(await Machine.start(pc, medium));
}

/** As `bootFrom`, on a PC that Bochs emulates. */
export async function bootOnBochs(medium: Medium, pc: BochsOptions = {}): Promise<BochsMachine> {
  return untilTheEnd(await BochsMachine.start(pc, medium));
}

/** Has the PC switched off when the test ends; if it fails, the ends of both serial lines are shown. */
function untilTheEnd<T extends Emulator>(machine: T): T {
  onTestFailed(() => console.error(machine.failure("What the PC showed:").message));
  onTestFinished(() => machine.stop());
  return machine;
}

/** Has the UEFI shell show the status with which Sheer returned, and that it goes on. */
export const showStatus = ["echo status %lasterror%", "echo the shell goes on"];

/** The verdicts that a program gave, by name, from its lines `@@ NAME VERDICT`. */
export function verdicts(console: string): Record<string, string> {
  return Object.fromEntries(
    [...console.matchAll(/^@@ (.+) (ok|wrong)\r?$/gm)].map(([, name, verdict]) => [name!, verdict!]),
  );
}
