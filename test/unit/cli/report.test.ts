import { expect, test } from "vitest";
import { isContained, readGuestReport } from "../../../cli/guest/report.ts";

test("the guest's lines are read from among the console's others", () => {
  const report = readGuestReport(`[    1.000000] Run /init as init process
@@ init 5.79
@@ clock 2804117930
@@ nic 0000:00:02.0 1af4:1000 0200
@@ irq 24: 7 PCI-MSI 32768-edge virtio0-config
@@ lease 10.0.2.15
@@ ping ok
@@ download sha256=abc bytes=10 seconds=0.5
@@ upload failed
@@ processor 0 apic 0 on Sheer, 1000 CPUIDs 1031 exits
@@ processor 1 apic 2 outside Sheer
@@ sheerctl version Sheer 0.1.0
@@ sheerctl exits.cpuid 42
`);
  expect(report).toEqual({
    clock: 2804117930,
    cards: [{ slot: "0000:00:02.0", id: "1af4:1000", class: "0200" }],
    interrupts: ["24: 7 PCI-MSI 32768-edge virtio0-config"],
    lease: "10.0.2.15",
    ping: true,
    download: { sha256: "abc", bytes: 10, seconds: 0.5 },
    upload: undefined,
    processors: [
      { number: 0, apic: 0, cpuidExits: 1031 },
      { number: 1, apic: 2 },
    ],
    sheer: { version: "Sheer 0.1.0", "exits.cpuid": "42" },
    done: false,
  });
});

test.each([
  ["each CPUID is an exit", { cpuidExits: 1031 }, true],
  ["fewer exits came than CPUIDs", { cpuidExits: 999 }, false],
  ["it is outside Sheer", {}, false],
])("whether a processor is contained, when %s", (_, costs, contained) => {
  expect(isContained({ number: 1, apic: 1, ...costs })).toBe(contained);
});
