import { existsSync } from "node:fs";
import { Option, type Command } from "commander";
import { MissingEnvironmentError, SheerError, UsageError } from "../errors.ts";
import { processorModels, type ProcessorModel } from "../bochs/configuration.ts";
import { BochsMachine } from "../bochs/machine.ts";
import type { Emulator } from "../emulator/emulator.ts";
import { thisMachine, trixie } from "../environment/installation.ts";
import type { Medium } from "../emulator/medium.ts";
import { makeDebianGuest } from "../guest/linux.ts";
import { startupMedium, type GuestProgram, type SheerStart } from "../guest/startup.ts";
import { interruptible } from "../interruption.ts";
import { sheerEfi } from "../paths.ts";
import type { NicModel } from "../qemu/arguments.ts";
import { Machine } from "../qemu/machine.ts";
import { complaintsAbout } from "../settings/words.ts";
import { withTemporaryFolder } from "../temporary.ts";
import { freePort, portForward, positiveNumber } from "./values.ts";
import { attachFile, attachTerminal } from "./attach.ts";

interface RunFlags {
  machine: "qemu" | "bochs";
  trixie?: boolean;
  bare?: boolean;
  settings: string;
  nic?: NicModel;
  processor?: ProcessorModel;
  rom?: boolean;
  cpus?: number;
  memory: number;
  kernel?: string;
  initrd?: string;
  append?: string;
  efi?: string;
  efiArguments: string;
  shell?: boolean;
  log?: string;
  emulatorLog?: string;
  serial?: string;
  timeout?: number;
  icount?: boolean;
  reboot?: boolean;
  forward?: { host: number; guest: number }[];
}

export function addRunCommand(program: Command): void {
  program
    .command("run")
    .description("run a guest in an emulated PC, on Sheer or bare; by default Debian, as in the demonstration")
    .addOption(new Option("--machine <emulator>", "what emulates it").choices(["qemu", "bochs"]).default("qemu"))
    .option("--trixie", "that emulator of Debian 13 (node setup.mjs more unpacks it), not this machine's own")
    .option("--bare", "without Sheer")
    .option("--settings <tokens>", 'more settings for Sheer, such as "log.level=debug"', "")
    .addOption(new Option("--nic <model>", "network card (default: e1000e in QEMU, e1000 in Bochs)").choices(nicModels))
    .addOption(
      new Option("--processor <model>", "which one Bochs emulates (default: haswell)").choices(
        Object.keys(processorModels),
      ),
    )
    .option("--rom", "give the network card its option ROM")
    .option("--cpus <number>", "processors (default: 2 in QEMU, 1 in Bochs)", positiveNumber)
    .option("--memory <MiB>", "memory", positiveNumber, 1024)
    .option("--kernel <file>", "a Linux kernel with an EFI stub, in place of Debian's")
    .option("--initrd <file>", "its initramfs")
    .option("--append <text>", "the kernel's command line (default: console=ttyS0)")
    .option("--efi <file>", "an EFI program as the guest")
    .option("--efi-arguments <text>", "what to write after its name", "")
    .option("--shell", "the UEFI shell itself as the guest")
    .option("--log <file>", "write Sheer's log there")
    .option("--emulator-log <file>", "write what Bochs itself logs there")
    .option("--serial <file>", "write the guest's console there, instead of showing it")
    .option("--timeout <seconds>", "give up after so long", positiveNumber)
    .option("--icount", "count instructions: the clock advances by one nanosecond for each")
    .option("--reboot", "go on after a reset, instead of ending")
    .option("--forward <HOST:GUEST>", "lead a TCP port of this machine's loopback to the guest", portForward)
    .argument("[arguments...]", "more arguments for QEMU, or lines of Bochs's configuration, after --")
    .addHelpText("after", "\nCtrl-C ends the PC. Exit status 0 if the guest switched it off.")
    .action(async (extra: string[], flags: RunFlags) => {
      checkFlags(flags);
      for (const { host } of flags.forward ?? []) await freePort(host);
      await interruptible((signal) => withTemporaryFolder("run", (folder) => runGuest(flags, extra, folder, signal)));
    });
}

const nicModels: NicModel[] = ["e1000e", "e1000", "none"];

function checkFlags(flags: RunFlags): void {
  const guests = [flags.kernel, flags.efi, flags.shell].filter((guest) => guest !== undefined);
  if (guests.length > 1) throw new UsageError("Choose one guest: --kernel, --efi or --shell.");
  if (flags.initrd !== undefined && flags.kernel === undefined) throw new UsageError("--initrd needs --kernel.");
  for (const file of [flags.kernel, flags.initrd, flags.efi])
    if (file !== undefined && !existsSync(file)) throw new SheerError(`There is no file ${file}; check its name.`);
  checkMachine(flags);
  const complaints = complaintsAbout(flags.settings);
  if (complaints.length > 0) throw new UsageError(complaints.map((complaint) => `--settings: ${complaint}`).join("\n"));
}

/** Fails for an option that the chosen emulator does not have. */
function checkMachine(flags: RunFlags): void {
  const { machine, rom, icount, reboot, forward, nic, processor, emulatorLog } = flags;
  const given = Object.entries(machine === "qemu" ? { processor, emulatorLog } : { rom, icount, reboot, forward });
  const wrong = given.find(([, value]) => value !== undefined)?.[0];
  if (wrong !== undefined) {
    const option = wrong.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    throw new UsageError(`--${option} is not for --machine ${machine}.`);
  }
  if (machine === "bochs" && nic === "e1000e") throw new UsageError("Bochs has no e1000e; choose e1000 or none.");
}

async function runGuest(flags: RunFlags, extra: string[], folder: string, signal: AbortSignal): Promise<void> {
  const medium = startupMedium(
    flags.bare === true ? undefined : sheerStart(flags.settings),
    await guestOf(flags, folder),
  );
  const machine = await startMachine(flags, extra, medium, signal);
  const detach = [
    flags.serial === undefined ? attachTerminal(machine.console) : attachFile(machine.console, flags.serial),
    flags.log === undefined ? (): void => undefined : attachFile(machine.log, flags.log),
  ];
  try {
    const code = await (flags.timeout === undefined ? machine.ended : machine.waitForEnd(flags.timeout));
    if (code !== 0) throw machine.failure(`${machine.name} ended with exit code ${code}.`);
  } finally {
    for (const end of detach) end();
    await machine.stop();
  }
}

function startMachine(flags: RunFlags, extra: string[], medium: Medium, signal: AbortSignal): Promise<Emulator> {
  const { nic, processor, cpus, memory, emulatorLog } = flags;
  const installation = flags.trixie === true ? trixie : thisMachine;
  const pc = { installation, memory, extra, ...(cpus === undefined ? {} : { cpus }) };
  if (flags.machine === "qemu") {
    const { rom = false, reboot = false, forward: forwards = [] } = flags;
    const counting = flags.icount === true ? { instructionShift: 0 } : {};
    return Machine.start({ ...pc, nic: nic ?? "e1000e", rom, reboot, forwards, ...counting }, medium, signal);
  }
  const options = {
    nic: nic === "none" ? ("none" as const) : ("e1000" as const),
    ...(processor === undefined ? {} : { processor }),
    ...(emulatorLog === undefined ? {} : { emulatorLog }),
  };
  return BochsMachine.start({ ...pc, ...options }, medium, signal);
}

function sheerStart(settings: string): SheerStart {
  if (!existsSync(sheerEfi)) throw new MissingEnvironmentError("dist/sheer.efi is not built yet; run: npm run build");
  return { efi: sheerEfi, settings: `log=0x3e8 ${settings}`.trim() };
}

async function guestOf(flags: RunFlags, folder: string): Promise<GuestProgram> {
  if (flags.shell === true) return { kind: "shell" };
  if (flags.efi !== undefined) return { kind: "efi", program: flags.efi, arguments: flags.efiArguments };
  const append = flags.append ?? "console=ttyS0";
  if (flags.kernel === undefined) return { kind: "linux", ...(await makeDebianGuest(folder)), append };
  const initrd = flags.initrd === undefined ? {} : { initrd: flags.initrd };
  return { kind: "linux", kernel: flags.kernel, ...initrd, append };
}
