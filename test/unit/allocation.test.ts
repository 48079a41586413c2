// Objects are made at boot, and then the heap is sealed: what answers the guest or reports a trap allocates nothing.
// Shown on the very core.wasm that boots, for every path that its code could take.
import { describe, expect, test } from "vitest";
import { CallGraph } from "./call-graph.ts";

const graph = await CallGraph.of(new URL("../../dist/core.wasm", import.meta.url));

const ALLOCATOR = "$~lib/rt/";
/** The allocator's own variables: whoever sets one allocates, even if the allocator was inlined there. */
const variables = new Set(
  graph.functions.filter((name) => name.startsWith(ALLOCATOR)).flatMap((name) => [...graph.effectsOf(name)]),
);

function allocates(name: string): boolean {
  if (name.startsWith(ALLOCATOR) || name === "$src/memory/frames/takePages") return true;
  return [...graph.effectsOf(name)].some((effect) => effect === "memory.grow" || variables.has(effect));
}

/** The chains of calls by which an export comes to an allocation. */
function allocations(exported: string): string[] {
  const reachable = [...graph.reachable(exported)].filter(([name]) => allocates(name));
  return reachable.map(([, path]) => path.join("\n  calls "));
}

describe("the call graph", () => {
  test("has the functions that matter under their names", () => {
    expect(graph.functions).toContain("$~lib/rt/stub/__new");
    expect(graph.functions).toContain("$src/memory/frames/takePages");
  });

  test("knows what an allocator does", () => {
    expect([...variables].some((effect) => effect.startsWith("global.set "))).toBe(true);
  });

  test("finds the allocations of boot", () => {
    const found = [...graph.reachable("boot").keys()].filter(allocates);
    expect(found).toContain("$~lib/rt/stub/__new");
    expect(found).toContain("$src/memory/frames/takePages");
  });

  test.each([
    ["exit", "$src/vcpu/svm/exit/handleExit"],
    ["exit", "$src/drivers/net/intel/receive"],
    ["exit", "$src/drivers/net/virtio/"],
    ["exit", "$src/decode/strings/"],
    ["exit", "$src/interrupt/apic/LocalApic#write"],
    ["exit", "$src/pci/guest/"],
    ["exit", "$src/threads/scheduler/Scheduler#turn"],
    ["thread", "$src/log/uart/Transmitter#"],
    ["trap", "$src/control/trap/Traps#report"],
    ["trap", "$src/log/screen/Screen#showLog"],
  ])("follows %s to %s", (exported, prefix) => {
    expect([...graph.reachable(exported).keys()].filter((name) => name.startsWith(prefix))).not.toEqual([]);
  });
});

test.each(["exit", "wake", "thread", "trap"])("no path from %s allocates", (exported) => {
  expect(allocations(exported)).toEqual([]);
});
