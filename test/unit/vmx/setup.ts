// A machine with Intel's processors.
import { Machine, type MachineOptions } from "../../../machine/machine.ts";
import type { VmxProcessor } from "../../../machine/vmx/processor.ts";
import { bootIntel, INTEL, LOG, vmxOf } from "../vcpu/setup.ts";

export { INTEL };

export function makeIntel(options: MachineOptions = {}): Machine {
  return new Machine({ loadOptions: `sheer.efi ${LOG}`, cards: [], forbidTraps: true, cpu: INTEL, ...options });
}

/** One on which Sheer runs, and its guest's boot processor. */
export function boot(options: MachineOptions = {}): { machine: Machine; processor: VmxProcessor } {
  const machine = bootIntel(options);
  return { machine, processor: vmxOf(machine.guest) };
}
