import { existsSync } from "node:fs";
import { Option, type Command } from "commander";
import { MissingEnvironmentError, SheerError, UsageError } from "../errors.ts";
import { makeDebianGuest } from "../guest/linux.ts";
import { startupMedium, type GuestProgram, type SheerStart } from "../guest/startup.ts";
import { interruptible } from "../interruption.ts";
import { sheerEfi } from "../paths.ts";
import type { NicModel } from "../qemu/arguments.ts";
import { Machine } from "../qemu/machine.ts";
import { withTemporaryFolder } from "../temporary.ts";
import { freePort, portForward, positiveNumber } from "./values.ts";
import { attachFile, attachTerminal } from "./attach.ts";

interface RunFlags {
  bare?: boolean;
  settings: string;
  nic: NicModel;
  rom?: boolean;
  cpus: number;
  memory: number;
  kernel?: string;
  initrd?: string;
  append?: string;
  efi?: string;
  efiArguments: string;
  shell?: boolean;
  log?: string;
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
    .option("--bare", "without Sheer")
    .option("--settings <tokens>", 'more settings for Sheer, such as "log.level=debug"', "")
    .addOption(new Option("--nic <model>", "network card").choices(["e1000e", "e1000", "none"]).default("e1000e"))
    .option("--rom", "give the network card its option ROM")
    .option("--cpus <number>", "processors", positiveNumber, 2)
    .option("--memory <MiB>", "memory", positiveNumber, 1024)
    .option("--kernel <file>", "a Linux kernel with an EFI stub, in place of Debian's")
    .option("--initrd <file>", "its initramfs")
    .option("--append <text>", "the kernel's command line (default: console=ttyS0)")
    .option("--efi <file>", "an EFI program as the guest")
    .option("--efi-arguments <text>", "what to write after its name", "")
    .option("--shell", "the UEFI shell itself as the guest")
    .option("--log <file>", "write Sheer's log there")
    .option("--serial <file>", "write the guest's console there, instead of showing it")
    .option("--timeout <seconds>", "give up after so long", positiveNumber)
    .option("--icount", "count instructions: the clock advances by one nanosecond for each")
    .option("--reboot", "go on after a reset, instead of ending")
    .option("--forward <HOST:GUEST>", "lead a TCP port of this machine's loopback to the guest", portForward)
    .argument("[arguments...]", "more arguments for QEMU, after --")
    .addHelpText("after", "\nCtrl-C ends the PC. Exit status 0 if the guest switched it off.")
    .action(async (extra: string[], flags: RunFlags) => {
      checkFlags(flags);
      for (const { host } of flags.forward ?? []) await freePort(host);
      await interruptible((signal) => withTemporaryFolder("run", (folder) => runGuest(flags, extra, folder, signal)));
    });
}

function checkFlags(flags: RunFlags): void {
  const guests = [flags.kernel, flags.efi, flags.shell].filter((guest) => guest !== undefined);
  if (guests.length > 1) throw new UsageError("Choose one guest: --kernel, --efi or --shell.");
  if (flags.initrd !== undefined && flags.kernel === undefined) throw new UsageError("--initrd needs --kernel.");
  for (const file of [flags.kernel, flags.initrd, flags.efi])
    if (file !== undefined && !existsSync(file)) throw new SheerError(`There is no file ${file}; check its name.`);
}

async function runGuest(flags: RunFlags, extra: string[], folder: string, signal: AbortSignal): Promise<void> {
  const medium = startupMedium(
    flags.bare === true ? undefined : sheerStart(flags.settings),
    await guestOf(flags, folder),
  );
  const pc = {
    nic: flags.nic,
    rom: flags.rom ?? false,
    cpus: flags.cpus,
    memory: flags.memory,
    ...(flags.icount === true ? { instructionShift: 0 } : {}),
    reboot: flags.reboot ?? false,
    forwards: flags.forward ?? [],
    extra,
  };
  const machine = await Machine.start(pc, medium, signal);
  const detach = [
    flags.serial === undefined ? attachTerminal(machine.console) : attachFile(machine.console, flags.serial),
    flags.log === undefined ? (): void => undefined : attachFile(machine.log, flags.log),
  ];
  try {
    const code = await (flags.timeout === undefined ? machine.ended : machine.waitForEnd(flags.timeout));
    if (code !== 0) throw machine.failure(`QEMU ended with exit code ${code}.`);
  } finally {
    for (const end of detach) end();
    await machine.stop();
  }
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
