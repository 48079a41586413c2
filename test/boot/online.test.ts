import { expect, test } from "vitest";
import { isContained, readGuestReport } from "../../cli/guest/report.ts";
import { expectOffAndOn, offAndOn } from "./off-and-on.ts";
import { boot, debian, sheer } from "./pc.ts";
import { askTheKernel, signatures } from "./signatures.ts";

test("a processor goes offline and online again, as often as the guest likes, and stays contained", async () => {
  const machine = await boot(sheer(), await debian(offAndOn), { cpus: 2 });
  expect(await machine.waitForEnd(240)).toBe(0);
  expectOffAndOn(machine);
});

test("a restart goes through the firmware into Sheer again, on both processors; then the guest switches off", async () => {
  // The console tells the guest how to end.
  const steps = `${askTheKernel}; say "how to end?"; read -r answer; [ "$answer" = restart ] && reboot -f`;
  const machine = await boot(sheer(), await debian(steps), { cpus: 2, reboot: true });
  await machine.waitFor(machine.console, /^@@ how to end/m, 180);
  machine.console.write("restart\n");
  await machine.waitFor(machine.console, /(^@@ how to end[^]*){2}/m, 180);
  machine.console.write("switch off\n");
  expect(await machine.waitForEnd(60)).toBe(0);
  expect(machine.log.text.match(/2 of 2 processors run the guest/g)).toHaveLength(2);
  // Both, before and after.
  const { processors } = readGuestReport(machine.console.text);
  expect(processors.filter(isContained).map(({ apic }) => apic)).toEqual([0, 1, 0, 1]);
  expect(signatures(machine)).toEqual({ sheer: [0, 1, 0, 1], others: [] });
  expect(machine.console.text.match(/^@@ ping ok$/gm)).toHaveLength(2);
  expect(machine.console.text).toContain("@@ done");
});
