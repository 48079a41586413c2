import { expect, test } from "vitest";
import { isContained, readGuestReport } from "../../cli/guest/report.ts";
import { boot, debian } from "./pc.ts";
import { askTheKernel, signatures } from "./signatures.ts";

// Proves the test bed: whatever fails under Sheer and passes here is Sheer's doing.

test("Debian without Sheer finds the Intel card, gets an address and reaches the gateway", async () => {
  const machine = await boot(undefined, await debian(askTheKernel), { cpus: 2 });
  expect(await machine.waitForEnd(120)).toBe(0);
  const report = readGuestReport(machine.console.text);
  expect(report.cards).toEqual([{ slot: "0000:00:02.0", id: "8086:10d3", class: "0200" }]);
  expect(report).toMatchObject({ lease: "10.0.2.15", ping: true, done: true });
  // The looks that find processors on Sheer find these outside.
  expect(report.processors).toEqual([0, 1].map((number) => ({ number, apic: number })));
  expect(report.processors.filter(isContained)).toEqual([]);
  expect(signatures(machine)).toEqual({ sheer: [], others: [0, 1] });
});

test("a PC without a network card boots Debian as well", async () => {
  const machine = await boot(undefined, await debian(), { nic: "none", cpus: 1 });
  expect(await machine.waitForEnd(120)).toBe(0);
  expect(readGuestReport(machine.console.text)).toMatchObject({ cards: [], ping: false, done: true });
});
