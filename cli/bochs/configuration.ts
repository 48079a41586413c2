import type { Installation } from "../environment/installation.ts";
import { need } from "../environment/tools.ts";

/** Processors that differ in what a hypervisor finds, by Bochs's names. */
export const processorModels = {
  /** VT-x with EPT, unrestricted guest and VPID. */
  haswell: "corei7_haswell_4770",
  /** VT-x without EPT. */
  penryn: "core2_penryn_t9600",
  /** Of Intel's, with 64 bits and without VT-x. */
  prescott: "p4_prescott_celeron_336",
  /** AMD-V with nested paging and NRIP save. */
  ryzen: "ryzen",
  /** Of AMD's, with 64 bits and without AMD-V. */
  athlon: "athlon64_clawhammer",
} as const;

export type ProcessorModel = keyof typeof processorModels;

/** The PC for Bochs to emulate: an i440FX with an Intel 82540EM, IDE and OHCI (with a stick at UHCI, OVMF does not come to its shell). */
export interface BochsOptions {
  /** Where Bochs comes from: what is installed on this machine unless it says otherwise. Firmware is always this machine's. */
  installation?: Installation;
  processor?: ProcessorModel;
  /** Processors; one unless it says otherwise. Bochs 2.7 cannot start others under VMX. */
  cpus?: number;
  /** In MiB. */
  memory?: number;
  nic?: "e1000" | "none";
  /** Where Bochs writes its own log, instead of a file that goes with the PC. */
  emulatorLog?: string;
  /** More lines for Bochs's configuration, after all others. */
  extra?: string[];
}

/** Files and TCP ports that one started PC has for itself. */
export interface BochsFiles {
  firmware: string;
  bootDisk: string;
  consolePort: number;
  logPort: number;
  emulatorLog: string;
}

/** The 2 MiB build of OVMF: the one of 4 MiB is too large for Bochs 2.7. */
export const firmwareParts = ["/usr/share/OVMF/OVMF_VARS.fd", "/usr/share/OVMF/OVMF_CODE.fd"];
const vgaBios = "/usr/share/vgabios/vgabios.bin";

/**
 * Instructions for a second of the PC's clock. The clock stands still while the emulator does, so this is not a speed: a
 * lower number makes the firmware's waiting loops shorter, and timer ticks closer to each other.
 */
const instructionsPerSecond = 5_000_000;

/** The text of Bochs's configuration file, a setting a line. */
export function bochsConfiguration(pc: BochsOptions, files: BochsFiles): string {
  const nic = pc.nic ?? "e1000";
  const lines = [
    "config_interface: textconfig",
    "display_library: term",
    `cpu: model=${processorModels[pc.processor ?? "haswell"]}, count=${pc.cpus ?? 1}, ips=${instructionsPerSecond}`,
    `megs: ${pc.memory ?? 1024}`,
    `romimage: file=${files.firmware}`,
    `vgaromimage: file=${need(vgaBios)}`,
    `pci: enabled=1, chipset=i440fx${nic === "none" ? "" : ", slot1=e1000"}`,
    ...(nic === "none" ? [] : ["e1000: enabled=1, mac=52:54:00:12:34:56, ethmod=slirp"]),
    "usb_ohci: enabled=1",
    `ata0-master: type=disk, mode=flat, path=${files.bootDisk}`,
    "boot: disk",
    "clock: sync=none",
    `com1: enabled=1, mode=socket-client, dev=127.0.0.1:${files.consolePort}`,
    `com3: enabled=1, mode=socket-client, dev=127.0.0.1:${files.logPort}`,
    `log: ${files.emulatorLog}`,
    "panic: action=fatal",
    ...(pc.extra ?? []),
  ];
  return lines.map((line) => `${line}\n`).join("");
}
