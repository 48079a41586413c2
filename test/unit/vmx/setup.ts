// A machine with Intel's processors.
import { Machine, type MachineOptions } from "../../../machine/machine.ts";
import type { VmxProcessor } from "../../../machine/vmx/processor.ts";

export const INTEL = { vendor: "GenuineIntel", svm: false, vmx: true } as const;

export function makeIntel(options: MachineOptions = {}): Machine {
  return new Machine({ loadOptions: "sheer.efi log=0x3e8", cards: [], forbidTraps: true, cpu: INTEL, ...options });
}

/** The guest of a machine on which Sheer runs. */
export function boot(options: MachineOptions = {}): { machine: Machine; guest: VmxProcessor } {
  const machine = makeIntel(options);
  if (machine.boot() !== 0n) throw new Error(`Sheer did not start: ${machine.screen}`);
  const { vmxGuest } = machine.processors.boot;
  if (!vmxGuest) throw new Error("no guest runs under VT-x");
  return { machine, guest: vmxGuest };
}
