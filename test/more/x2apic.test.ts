import { expect, test } from "vitest";
import { buildProgramOf } from "../../cli/build/build.ts";
import { trixie } from "../../cli/environment/installation.ts";
import { readGuestReport } from "../../cli/guest/report.ts";
import type { PcOptions } from "../../cli/qemu/arguments.ts";
import { verdictsOf } from "../boot/multiprocessor.ts";
import { expectOffAndOn, offAndOn } from "../boot/off-and-on.ts";
import { boot, debian, sheer, verdicts } from "../boot/pc.ts";

// QEMU emulates x2APIC mode without KVM from 9.0 on.
const processor = ["-cpu", "max,+svm,-la57,+x2apic"];

test.each([2, 4])("the firmware runs code on all of %i processors on AMD-V, in x2APIC mode too", async (cpus) => {
  const program = await buildProgramOf("guest/programs/multiprocessor.ts");
  const pc = { installation: trixie, cpus, extra: processor };
  const machine = await boot(sheer(), { kind: "efi", program, arguments: "" }, pc);
  await machine.waitFor(machine.console, /^@@ multiprocessor-done \d+\n/m, 240);
  const kinds = ["alone", "together", "x2apic-alone", "x2apic-together", "disabled", "enabled"];
  expect(verdicts(machine.console.text)).toEqual(verdictsOf(kinds, cpus, "ok"));
});

/** How many nested faults come in four seconds, in which both processors have their timers and halt. */
const countFaults = `
faults() { sheerctl | grep ^exits.nested-page-fault | cut -d ' ' -f 2; }
before=$(faults)
for second in 1 2; do taskset 1 sleep 1; taskset 2 sleep 1; done
say "nested faults $(($(faults) - before))"
`;

test("Debian does not use x2APIC mode where interrupts are not remapped, and has MSI-X", async () => {
  const steps = `dmesg | grep x2apic; ${countFaults} ${offAndOn}`;
  const machine = await boot(sheer(), await debian(steps), { installation: trixie, cpus: 2, extra: processor });
  expect(await machine.waitForEnd(400)).toBe(0);
  expect(machine.console.text).toContain("x2apic: IRQ remapping doesn't support X2APIC mode");
  expect(machine.console.text).toMatch(/^@@ nested faults [1-9]\d*$/m);
  const report = readGuestReport(machine.console.text);
  expect(report).toMatchObject({ cards: [{ id: "1af4:1000" }], lease: "10.0.2.15", ping: true, done: true });
  expect(report.interrupts).toContainEqual(expect.stringMatching(/PCI-MSI .*-input\.0$/));
  expectOffAndOn(machine, 2);
});

// The guest has the IOMMU. Its remapping of interrupts also holds for what the virtio-net sends: so that is by INTx.
test("Debian uses x2APIC mode on two processors with an IOMMU of its own, offline and online again", async () => {
  const steps = `dmesg | grep x2apic; ${countFaults} ${offAndOn}`;
  const iommu = ["-device", "amd-iommu,xtsup=on,intremap=on"];
  const pc: PcOptions = { installation: trixie, cpus: 2, nic: "e1000", extra: [...processor, ...iommu] };
  const machine = await boot(sheer("memory.dma=off"), await debian(steps, "iommu=pt"), pc);
  expect(await machine.waitForEnd(400)).toBe(0);
  expect(machine.console.text).toContain("Switched APIC routing to cluster x2apic.");
  expect(machine.console.text).toMatch(/^@@ nested faults 0$/m); // the local APICs' page costs nothing in this mode
  const report = readGuestReport(machine.console.text);
  expect(report).toMatchObject({ cards: [{ id: "1af4:1000" }], lease: "10.0.2.15", ping: true, done: true });
  expectOffAndOn(machine, 2);
});
