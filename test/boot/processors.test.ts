import { expect, test } from "vitest";
import { buildProgramOf } from "../../cli/build/build.ts";
import { isContained, readGuestReport } from "../../cli/guest/report.ts";
import { startupMedium } from "../../cli/guest/startup.ts";
import { verdictsOf } from "./multiprocessor.ts";
import { boot, bootFrom, debian, sheer, verdicts } from "./pc.ts";
import { askTheKernel, signatures } from "./signatures.ts";

// Two processors are looked at in the demonstration's tests and in online.test.ts; bare.test.ts shows that these looks
// can fail.

test("every one of four processors is contained", async () => {
  const machine = await boot(sheer(), await debian(askTheKernel), { cpus: 4 });
  expect(await machine.waitForEnd(240)).toBe(0);
  const { processors, ping, done } = readGuestReport(machine.console.text);
  expect({ ping, done }).toEqual({ ping: true, done: true });
  expect(processors.filter(isContained).map(({ apic }) => apic)).toEqual([0, 1, 2, 3]);
  expect(processors).toHaveLength(4);
  expect(signatures(machine)).toEqual({ sheer: [0, 1, 2, 3], others: [] });
});

test.each([2, 4])("the firmware runs code on all of %i processors, outside Sheer and then inside", async (cpus) => {
  const lines = ["multiprocessor.efi", "sheer.efi log=0x3e8", "multiprocessor.efi"];
  const medium = startupMedium(undefined, { kind: "shell", lines });
  medium.files["multiprocessor.efi"] = { copyOf: await buildProgramOf("guest/programs/multiprocessor.ts") };
  medium.files["sheer.efi"] = { copyOf: sheer().efi };
  const machine = await bootFrom(medium, { cpus });
  await machine.waitFor(machine.console, /(^@@ multiprocessor-done[^]*){2}\n/m, 120);
  const [before = "", after = ""] = machine.console.text.split(`@@ multiprocessor-done ${cpus}\n`);
  expect(verdicts(before)).toEqual(verdictsOf(["alone", "together"], cpus, "wrong"));
  expect(verdicts(after)).toEqual(verdictsOf(["alone", "together", "disabled", "enabled"], cpus, "ok"));
});
