import { stat } from "node:fs/promises";
import { coreWasm } from "../paths.ts";
import { benchSheer, type Bench } from "./boots.ts";
import { countByReason, countMemoryFaults, instructionShift, traceExits } from "./exits.ts";
import { measureInstructions, measureScaling } from "./instructions.ts";
import { measureTouches } from "./memory.ts";
import { measureNetwork, type NetworkFigures } from "./network.ts";
import { makeRow, makeScalingRow, type Row } from "./row.ts";

/**
 * QEMU's own processor is of AMD's family 0Fh, and Linux scans all buses twice more for the GART that those up to family 15h
 * had. This one is as new as those that Sheer is for.
 */
const zen = "family=23,model=49";

/** The memory of the PC as every measurement has it, in bytes. */
const pcMemory = 1024 * 1024 * 1024;

export interface BenchResult {
  rows: Row[];
  /** Exits from the UEFI shell to Linux with DHCP and ping done, by reason. */
  exits: Record<string, number>;
}

/** Measures everything, bare and with Sheer, one boot after the other. */
export async function runBench(bench: Bench): Promise<BenchResult> {
  const sheer = benchSheer();
  bench.progress("instructions");
  const instructions = await measureInstructions(bench, sheer);
  const scaling = await measureScaling(bench, sheer);
  bench.progress("memory");
  const touches = await measureTouches(bench, sheer);
  bench.progress("network, bare");
  const bare = await measureNetwork(bench, undefined);
  bench.progress("network, with Sheer");
  const withSheer = await measureNetwork(bench, sheer);
  bench.progress("exits");
  const trace = await traceExits(bench, sheer);
  const exits = countByReason(trace);
  const total = sumOf(exits);
  const memoryFaults = countMemoryFaults(trace, pcMemory);
  bench.progress("exits, on a processor of family 17h");
  const totalOnZen = await totalOf(bench, sheer, { instructionShift, processor: zen });
  bench.progress("exits, 2 processors");
  // By the clock of the wall, one and two alike: by that of instructions, Linux took too long to start its second processor.
  const totalOfOne = await totalOf(bench, sheer, { cpus: 1 });
  const totalOfTwo = await totalOf(bench, sheer, { cpus: 2 });
  bench.progress("exits, 2 processors, threads on one at a time");
  const threadsOnOne = { ...sheer, settings: `${sheer.settings} threads.oneProcessor=on` };
  const totalWithThreadsOnOne = await totalOf(bench, threadsOnOne, { cpus: 2 });
  return {
    rows: [
      ...instructions,
      ...scaling,
      touches,
      ...networkRows(bare, withSheer),
      makeRow("exits, from the UEFI shell to Linux with DHCP and ping", "exits", undefined, total, { atMost: 30_000 }),
      makeRow("of these, nested faults on memory", "exits", undefined, memoryFaults, { atMost: 0 }),
      makeRow("exits, on a processor of family 17h", "exits", undefined, totalOnZen, { atMost: 25_000 }),
      makeScalingRow("exits, 2 processors, by the clock of the wall", "exits", totalOfOne, totalOfTwo, 1.5),
      makeScalingRow("the same, threads on one at a time", "exits", totalOfTwo, totalWithThreadsOnOne, 1.25),
      makeRow("sheer.efi", "bytes", undefined, (await stat(sheer.efi)).size, { atMost: 512 * 1024 }),
      makeRow("core.wasm", "bytes", undefined, (await stat(coreWasm)).size),
    ],
    exits,
  };
}

async function totalOf(...boot: Parameters<typeof traceExits>): Promise<number> {
  return sumOf(countByReason(await traceExits(...boot)));
}

function sumOf(counts: Record<string, number>): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

function networkRows(bare: NetworkFigures, sheer: NetworkFigures): Row[] {
  return [
    makeRow("TCP receive", "MB/s", bare.receive, sheer.receive, { ratioAtLeast: 0.6 }),
    makeRow("TCP send", "MB/s", bare.send, sheer.send, { ratioAtLeast: 0.5 }),
    makeRow("memory taken from the guest", "KiB", undefined, bare.memory - sheer.memory, { atMost: 16 * 1024 }),
    makeRow("Sheer's own start", "s", undefined, sheer.start, { atMost: 1 }),
  ];
}
