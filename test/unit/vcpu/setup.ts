// A machine on which Sheer runs, with nothing mediated: what is left is the processor.
import { Machine, type MachineOptions } from "../../../machine/machine.ts";

export const LOG = "log=0x3e8";
export const EXCEPTION = { invalidOpcode: 6, generalProtection: 13, pageFault: 14 } as const;

export function boot(options: MachineOptions = {}): Machine {
  const machine = new Machine({ loadOptions: `sheer.efi ${LOG}`, cards: [], forbidTraps: true, ...options });
  if (machine.boot() !== 0n) throw new Error(`Sheer did not start: ${machine.screen}`);
  return machine;
}

/** The counters that the guest can ask for, by name. */
export function readCounters({ guest }: Machine): Map<string, bigint> {
  const counters = new Map<string, bigint>();
  for (let index = 0; ; index++) {
    const value = guest.vmmcall({ 0: 0x5348_0001n, 3: BigInt(index) });
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
