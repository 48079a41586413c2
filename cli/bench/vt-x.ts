// Intel VT-x, which QEMU does not emulate without KVM: in Bochs.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { BochsOptions } from "../bochs/configuration.ts";
import { BochsMachine } from "../bochs/machine.ts";
import type { Medium } from "../emulator/medium.ts";
import { makeDebianGuest } from "../guest/linux.ts";
import { SheerError } from "../errors.ts";
import { readGuestReport } from "../guest/report.ts";
import { startupMedium, type SheerStart } from "../guest/startup.ts";
import { withTemporaryFolder } from "../temporary.ts";
import { bootSeconds, type Bench } from "./boots.ts";
import { isMemory } from "./exits.ts";
import { bareThenGuest, readBothFigures } from "./program.ts";
import { makeRow, type Row } from "./row.ts";

const memory = 1024;

export async function measureVtx(bench: Bench, sheer: SheerStart): Promise<Row[]> {
  const bare = await bootToEnd(bench, undefined);
  const withSheer = await bootToEnd(bench, sheer);
  return [
    await measureCpuid(bench, sheer),
    makeRow("VT-x: EPT violations on memory", "exits", undefined, countMemoryFaults(withSheer.log), { atMost: 0 }),
    makeRow("VT-x: power-on to the guest's init", "ticks", bare.ticks, withSheer.ticks, { ratioAtMost: 1.15 }),
    makeRow("VT-x: what Bochs takes for that", "s", bare.seconds, withSheer.seconds),
  ];
}

/** The same program bare and then, on the same machine, as the guest. Bochs's clock counts instructions. */
async function measureCpuid(bench: Bench, sheer: SheerStart): Promise<Row> {
  const { buildProgramOf } = await import("../build/build.ts");
  const program = await buildProgramOf("guest/programs/instructions.ts", { signal: bench.signal });
  return withBochs(bench, bareThenGuest(sheer, program), {}, async (machine) => {
    await machine.waitFor(machine.console, /(@@ bench-done[^]*){2}/, bootSeconds);
    const [bare, guest] = readBothFigures(machine.console.text);
    return makeRow("VT-x: cpuid", "instructions", bare.get("cpuid"), guest.get("cpuid"), { atMost: 150 });
  });
}

interface BootFigures {
  /** Of the PC's clock since power-on when the guest's init began: one for an instruction, and those that HLT waits for. */
  ticks: number;
  /** Time of the emulating machine's processor, since power-on, when the guest's init began. */
  seconds: number;
  /** Bochs's own. */
  log: string;
}

async function bootToEnd(bench: Bench, sheer: SheerStart | undefined): Promise<BootFigures> {
  return withTemporaryFolder("vt-x", async (folder) => {
    const guest = { kind: "linux" as const, ...(await makeDebianGuest(folder)), append: "console=ttyS0 quiet" };
    const emulatorLog = join(folder, "bochs.log");
    return withBochs(bench, startupMedium(sheer, guest), { memory, emulatorLog }, async (machine) => {
      await machine.waitFor(machine.console, /^@@ clock \d+\s/m, bootSeconds);
      const { clock: ticks } = readGuestReport(machine.console.text);
      if (ticks === undefined) throw new SheerError("The guest's init did not tell its clock.");
      const seconds = machine.processorSeconds();
      await machine.waitForEnd(bootSeconds); // Bochs writes the rest of its log then
      return { ticks, seconds, log: await readFile(emulatorLog, "latin1") };
    });
  });
}

async function withBochs<T>(
  bench: Bench,
  medium: Medium,
  pc: BochsOptions,
  use: (machine: BochsMachine) => Promise<T>,
): Promise<T> {
  const machine = await BochsMachine.start(pc, medium, bench.signal);
  try {
    return await use(machine);
  } finally {
    await machine.stop();
  }
}

/**
 * EPT violations at addresses where the PC has memory. Bochs logs each as "VMEXIT: EPT violation for guest paddr 0x… laddr 0x…".
 * A boot has some at the local APIC, at least.
 */
function countMemoryFaults(log: string): number {
  const faults = [...log.matchAll(/EPT violation for guest paddr 0x([0-9a-f]+)/g)];
  if (faults.length === 0)
    throw new SheerError("Bochs has logged no EPT violation, not even of the local APIC's page.");
  return faults.filter(([, address]) => isMemory(parseInt(address!, 16), memory * 1024 * 1024)).length;
}
