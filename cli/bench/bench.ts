import { stat } from "node:fs/promises";
import { coreWasm } from "../paths.ts";
import { benchSheer, instructionShift, type Bench } from "./boots.ts";
import { countByReason, countMemoryFaults, traceExits } from "./exits.ts";
import { measureInstructions, measureScaling } from "./instructions.ts";
import { measureTouches } from "./memory.ts";
import { measureNetwork, median, type NetworkFigures } from "./network.ts";
import { measureVtx } from "./vt-x.ts";
import { type Limit, makeRow, makeScalingRow, type Row } from "./row.ts";

/** QEMU's own processor, for which Linux looks on all buses for a GART: each look is an exit. */
const family0F = "family=15,model=107";

/** The memory of the PC as every measurement has it, in bytes. */
const pcMemory = 1024 * 1024 * 1024;
/** Boots of each kind for the network's figures. */
const networkRuns = 3;

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
  const bare: NetworkFigures[] = [];
  const withSheer: NetworkFigures[] = [];
  // In turns, so that what else the machine does falls on both.
  for (let run = 1; run <= networkRuns; run++) {
    bench.progress(`network, bare, ${run} of ${networkRuns}`);
    bare.push(await measureNetwork(bench, undefined));
    bench.progress(`network, with Sheer, ${run} of ${networkRuns}`);
    withSheer.push(await measureNetwork(bench, sheer));
  }
  bench.progress("exits");
  const trace = await traceExits(bench, sheer);
  const exits = countByReason(trace);
  const total = sumOf(exits);
  const memoryFaults = countMemoryFaults(trace, pcMemory);
  bench.progress("exits, on a processor of family 0Fh");
  const totalOnOld = await totalOf(bench, sheer, { instructionShift, processor: family0F });
  bench.progress("exits, 2 processors");
  // By the clock of the wall, one and two alike: by that of instructions, Linux took too long to start its second processor.
  const totalOfOne = await totalOf(bench, sheer, { cpus: 1 });
  const totalOfTwo = await totalOf(bench, sheer, { cpus: 2 });
  bench.progress("exits, 2 processors, threads on one at a time");
  const threadsOnOne = { ...sheer, settings: `${sheer.settings} threads.oneProcessor=on` };
  const totalWithThreadsOnOne = await totalOf(bench, threadsOnOne, { cpus: 2 });
  bench.progress("VT-x");
  const vtx = await measureVtx(bench, sheer);
  return {
    rows: [
      ...instructions,
      ...scaling,
      touches,
      ...networkRows(bare, withSheer),
      makeRow("exits, from the UEFI shell to Linux with DHCP and ping", "exits", undefined, total, { atMost: 25_000 }),
      makeRow("of these, nested faults on memory", "exits", undefined, memoryFaults, { atMost: 0 }),
      makeRow("exits, on a processor of family 0Fh", "exits", undefined, totalOnOld, { atMost: 30_000 }),
      makeScalingRow("exits, 2 processors, by the clock of the wall", "exits", totalOfOne, totalOfTwo, 1.5),
      makeScalingRow("the same, threads on one at a time", "exits", totalOfTwo, totalWithThreadsOnOne, 1.25),
      ...vtx,
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

function networkRows(bare: NetworkFigures[], sheer: NetworkFigures[]): Row[] {
  const middle = (runs: NetworkFigures[], figure: keyof NetworkFigures): number =>
    median(runs.map((run) => run[figure] ?? NaN));
  const row = (what: string, unit: string, figure: keyof NetworkFigures, limit: Limit): Row =>
    makeRow(what, unit, middle(bare, figure), middle(sheer, figure), limit);
  const own = (what: string, unit: string, figure: keyof NetworkFigures, limit?: Limit): Row =>
    makeRow(what, unit, undefined, middle(sheer, figure), limit);
  return [
    row("TCP receive, for 10^9 instructions", "MB", "receive", { ratioAtLeast: 0.95 }),
    row("TCP send, for 10^9 instructions", "MB", "send", { ratioAtLeast: 0.95 }),
    row("TCP round trips of one byte, for 10^6 instructions", "", "pings", { ratioAtLeast: 0.7 }),
    own("exits for each MB received", "exits", "receiveExits", { atMost: 60 }),
    own("exits for each MB sent", "exits", "sendExits", { atMost: 60 }),
    own("exits for each round trip", "exits", "pingExits"),
    makeRow("memory taken from the guest", "KiB", undefined, middle(bare, "memory") - middle(sheer, "memory"), {
      atMost: 16 * 1024,
    }),
    own("Sheer's own start", "s", "start", { atMost: 1 }),
  ];
}
