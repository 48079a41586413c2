import { logPort } from "../emulator/emulator.ts";
import type { Installation } from "../environment/installation.ts";

export type NicModel = "e1000e" | "e1000" | "none";

/** The PC to emulate. What is left out is as in the demonstration. */
export interface PcOptions {
  /** Where QEMU and its firmware come from: what is installed on this machine unless it says otherwise. */
  installation?: Installation;
  nic?: NicModel;
  /** Give the network card its iPXE option ROM, so that the firmware has a driver for it. */
  rom?: boolean;
  /** Processors; two unless it says otherwise. */
  cpus?: number;
  /** Family and model of the processor by CPUID, such as "family=15,model=107"; `zen2` unless it says otherwise. */
  processor?: string;
  /** In MiB. */
  memory?: number;
  /** Count instructions: the clock then advances by 2 to the power of this many nanoseconds for each. */
  instructionShift?: number;
  /** A file to which one line is written for each exit of a hypervisor in the PC. */
  exitTrace?: string;
  /** Let the guest end the emulator by a write to port 0xf4; its exit code is then 2 * value + 1. */
  debugExit?: boolean;
  /** Go on after a reset; otherwise a reset ends the emulator. */
  reboot?: boolean;
  /** TCP ports of this machine's loopback that lead to a port of the guest. */
  forwards?: { host: number; guest: number }[];
  /** More arguments for QEMU, after all others. */
  extra?: string[];
}

/** Files and sockets that one started PC has for itself. */
export interface PcFiles {
  firmwareVariables: string;
  bootDisk: string;
  /** Ports of this machine's loopback, for the two serial lines. */
  consolePort: number;
  logPort: number;
  qmpSocket: string;
}

export const firmwareCode = "/usr/share/OVMF/OVMF_CODE_4M.fd";
export const firmwareVariables = "/usr/share/OVMF/OVMF_VARS_4M.fd";

/** Where QEMU looks for the firmware of its devices, such as the graphics card's. */
const dataFolders = ["/usr/share/qemu", "/usr/share/seabios"];

/**
 * As new a processor as those that Sheer is for. QEMU's own is of AMD's family 0Fh, where Linux looks on all buses, twice,
 * for the GART that those up to family 15h had.
 */
const zen2 = "family=23,model=49";

/** Where the network card is, with Sheer and without: 00:02.0. */
const nicSlot = 2;

export function qemuArguments(pc: PcOptions, files: PcFiles, installation: Installation): string[] {
  return [
    ...dataFolders.flatMap((folder) => ["-L", installation.file(folder)]),
    ...["-nodefaults", "-no-user-config", "-display", "none", "-vga", "std"],
    // TCG only: what is tested must not depend on the processor that this happens to run on.
    ...["-machine", "q35,smm=off", "-accel", "tcg", "-cpu", ["max,+svm,-la57", pc.processor ?? zen2].join(",")],
    ...["-m", String(pc.memory ?? 1024), "-smp", String(pc.cpus ?? 2)],
    ...["-drive", `if=pflash,unit=0,format=raw,readonly=on,file=${installation.file(firmwareCode)}`],
    ...["-drive", `if=pflash,unit=1,format=raw,file=${files.firmwareVariables}`],
    ...[
      "-drive",
      `if=none,id=boot,format=raw,file=${files.bootDisk}`,
      "-device",
      "ide-hd,bus=ide.0,drive=boot,bootindex=1",
    ],
    ...["-chardev", serialLine("console", files.consolePort), "-serial", "chardev:console"],
    ...["-chardev", serialLine("log", files.logPort)],
    ...["-device", `isa-serial,chardev=log,index=2,iobase=${logPort},irq=5`],
    ...["-chardev", `socket,id=qmp,path=${files.qmpSocket}`, "-mon", "chardev=qmp,mode=control"],
    ...nicArguments(pc, installation),
    ...(pc.instructionShift === undefined ? [] : ["-icount", `shift=${pc.instructionShift}`]),
    // This range of addresses holds no code: of all that in_asm prints, only the lines of the exits are left.
    ...(pc.exitTrace === undefined ? [] : ["-d", "in_asm", "-dfilter", "0x1..0x2", "-D", pc.exitTrace]),
    ...(pc.debugExit === true ? ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"] : []),
    ...(pc.reboot === true ? [] : ["-no-reboot"]),
    ...(pc.extra ?? []),
  ];
}

function serialLine(id: string, port: number): string {
  return `socket,id=${id},host=127.0.0.1,port=${port},nodelay=on`;
}

function nicArguments(pc: PcOptions, installation: Installation): string[] {
  const model = pc.nic ?? "e1000e";
  if (model === "none") return [];
  const forwards = (pc.forwards ?? []).map(({ host, guest }) => `,hostfwd=tcp:127.0.0.1:${host}-:${guest}`).join("");
  const rom = pc.rom === true ? installation.file(`/usr/lib/ipxe/qemu/efi-${model}.rom`) : "";
  return [
    ...["-netdev", `user,id=net,ipv6=off${forwards}`],
    ...["-device", `${model},netdev=net,addr=${nicSlot},mac=52:54:00:12:34:56,romfile=${rom}`],
  ];
}
