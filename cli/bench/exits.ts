import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { SheerStart } from "../guest/startup.ts";
import type { PcOptions } from "../qemu/arguments.ts";
import type { Machine } from "../qemu/machine.ts";
import { withTemporaryFolder } from "../temporary.ts";
import { bootDebian, bootSeconds, instructionShift, type Bench } from "./boots.ts";

/** AMD's names for the exit codes that a boot shows (AMD64 manual, volume 2, appendix C). */
const names: Record<number, string> = {
  0x00: "read of CR0",
  0x10: "write of CR0",
  0x13: "write of CR3",
  0x14: "write of CR4",
  0x60: "interrupt",
  0x61: "NMI",
  0x64: "interrupt window",
  0x72: "CPUID",
  0x78: "HLT",
  0x7b: "port",
  0x7c: "MSR",
  0x81: "VMMCALL",
  0x89: "WBINVD",
  0x400: "nested fault",
};

/** The emulator's lines, one for each exit from the UEFI shell to Linux with DHCP and ping done: seen from outside Sheer. */
export async function traceExits(
  bench: Bench,
  sheer: SheerStart,
  pc: PcOptions = { instructionShift },
): Promise<string> {
  return withTemporaryFolder("exits", async (folder) => {
    const exitTrace = join(folder, "exits");
    let sizeAtPing = Promise.resolve(0);
    const watch = (machine: Machine): void => {
      sizeAtPing = machine.waitFor(machine.console, /^@@ ping ok/m, bootSeconds).then(() => sizeOf(exitTrace));
      // A guest that does not come so far is reported by what follows.
      sizeAtPing.catch(() => undefined);
    };
    await bootDebian(bench, sheer, { pc: { ...pc, exitTrace }, watch });
    const trace = await readFile(exitTrace);
    return trace.subarray(0, await sizeAtPing).toString("latin1");
  });
}

async function sizeOf(file: string): Promise<number> {
  return (await stat(file)).size;
}

/** Counts lines like "vmexit(00000072, …)!" by the code in them. */
export function countByReason(trace: string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const [, code] of trace.matchAll(/^vmexit\(([0-9a-f]+),/gm)) {
    const value = parseInt(code!, 16);
    const name = names[value] ?? `0x${value.toString(16)}`;
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

/** Where a PC has memory, as QEMU's q35 lays it out up to 2 GiB, and Bochs's i440FX: all but the window of the display. */
export function isMemory(address: number, bytes: number): boolean {
  return address < bytes && !(address >= 0xa_0000 && address < 0xc_0000);
}

/** Counts the nested faults in lines like "vmexit(00000400, …, ADDRESS, …)!" at an address where the PC has memory. */
export function countMemoryFaults(trace: string, memory: number): number {
  const faults = [...trace.matchAll(/^vmexit\(00000400, [0-9a-f]+, ([0-9a-f]+),/gm)];
  return faults.filter(([, address]) => isMemory(parseInt(address!, 16), memory)).length;
}
