import { expect, test } from "vitest";
import { readGuestReport } from "../../cli/guest/report.ts";
import { boot, debian } from "./pc.ts";

// Proves the test bed: whatever fails under Sheer and passes here is Sheer's doing.

test("Debian without Sheer finds the Intel card, gets an address and reaches the gateway", async () => {
  const machine = await boot(undefined, await debian());
  expect(await machine.waitForEnd(120)).toBe(0);
  const report = readGuestReport(machine.console.text);
  expect(report.cards).toEqual([{ slot: "0000:00:02.0", id: "8086:10d3", class: "0200" }]);
  expect(report).toMatchObject({ lease: "10.0.2.15", ping: true, done: true });
});

test("a PC without a network card boots Debian as well", async () => {
  const machine = await boot(undefined, await debian(), { nic: "none" });
  expect(await machine.waitForEnd(120)).toBe(0);
  expect(readGuestReport(machine.console.text)).toMatchObject({ cards: [], ping: false, done: true });
});
