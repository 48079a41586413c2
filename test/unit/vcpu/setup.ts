// A machine on which Sheer runs, with nothing mediated: what is left is the processor, of either vendor's.
import type { CpuidOptions } from "../../../machine/cpuid.ts";
import type { Guest } from "../../../machine/guest/guest.ts";
import { Machine, type MachineOptions } from "../../../machine/machine.ts";
import { SvmProcessor } from "../../../machine/svm/processor.ts";
import { Control } from "../../../machine/svm/vmcb.ts";
import { VmxProcessor } from "../../../machine/vmx/processor.ts";
import { Field } from "../../../machine/vmx/vmcs.ts";
import { type Page, walk } from "../memory/walker.ts";

export const LOG = "log=0x3e8";
export const EXCEPTION = { debug: 1, invalidOpcode: 6, generalProtection: 13, pageFault: 14 } as const;
export const INTEL = { vendor: "GenuineIntel", svm: false, vmx: true } as const;

/** `prepare` has its turn before Sheer starts. */
export type Boot = (options?: MachineOptions, prepare?: (machine: Machine) => void) => Machine;

/** On a processor with AMD-V, if nothing else is said. */
export const boot: Boot = (options = {}, prepare) => {
  const machine = new Machine({ loadOptions: `sheer.efi ${LOG}`, cards: [], forbidTraps: true, ...options });
  prepare?.(machine);
  if (machine.boot() !== 0n) throw new Error(`Sheer did not start: ${machine.screen}`);
  return machine;
};

export const bootIntel: Boot = (options = {}, prepare) =>
  boot({ ...options, cpu: { ...INTEL, ...options.cpu } }, prepare);

/** A processor of each vendor's. */
export const PROCESSORS: readonly (readonly [string, CpuidOptions])[] = [
  ["AMD-V", {}],
  ["VT-x", INTEL],
];

/** What both have is tested on both. */
export const VENDORS: readonly (readonly [string, Boot])[] = [
  ["AMD-V", boot],
  ["VT-x", bootIntel],
];

/** The guest's processor, which must be one of AMD-V. */
export function svmOf({ processor }: Guest): SvmProcessor {
  if (processor instanceof SvmProcessor) return processor;
  throw new Error("this guest does not run by AMD-V");
}
export function vmxOf({ processor }: Guest): VmxProcessor {
  if (processor instanceof VmxProcessor) return processor;
  throw new Error("this guest does not run by VT-x");
}

/** The page of the nested page tables that an address of the guest's lies in. */
export function nestedPage({ memory, guest }: Machine, address: number): Page | undefined {
  const { processor } = guest;
  const [format, root] =
    processor instanceof VmxProcessor
      ? (["EPT", processor.vmcs.get(Field.EptPointer) & ~0xfffn] as const)
      : (["NPT", svmOf(guest).vmcb.get(Control.NestedCr3)] as const);
  return walk(format, (at) => memory.read64(at), Number(root), 4, address);
}

/** The counters that the guest can ask for, by name. */
export function readCounters({ guest }: Machine): Map<string, bigint> {
  const counters = new Map<string, bigint>();
  for (let index = 0; ; index++) {
    const value = guest.hypercall({ 0: 0x5348_0001n, 3: BigInt(index) });
    const name = text([3, 1, 2].map((register) => guest.processor.gpr(register)));
    if (name === "") return counters;
    counters.set(name, value);
  }
}

/** The bytes of 64-bit registers, one after the other, up to the first zero. */
export function text(words: readonly bigint[]): string {
  const bytes = new Uint8Array(BigUint64Array.from(words).buffer);
  const end = bytes.indexOf(0);
  return String.fromCharCode(...bytes.subarray(0, end < 0 ? bytes.length : end));
}
