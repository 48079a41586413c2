import { expect, test } from "vitest";
import { startupMedium } from "../../cli/guest/startup.ts";
import { readGuestReport } from "../../cli/guest/report.ts";
import { boot, bootFrom, debian, sheer } from "./pc.ts";

const shell = { kind: "shell" as const, lines: ["echo the shell goes on"] };

test("a setting that Sheer does not know is named in the log and changes nothing", async () => {
  const machine = await boot(sheer("frobnicate=1 log.level=loud"), shell);
  await machine.waitFor(machine.console, /^the shell goes on/m, 120);
  expect(machine.log.text).toContain("frobnicate=1");
  expect(machine.log.text).toContain("log.level=loud");
  expect(machine.log.text).toContain("the guest goes on");
});

test("settings are read from the disk that Sheer was started from", async () => {
  const medium = startupMedium({ ...sheer(), settings: "" }, shell);
  medium.files["EFI/sheer/sheer.conf"] = { text: "# to the second UART\r\nlog=0x3e8\r\n" };
  const machine = await bootFrom(medium);
  await machine.waitFor(machine.log, /^sheer: the guest goes on/m, 120);
});

test("without settings there is no log", async () => {
  const machine = await boot({ ...sheer(), settings: "" }, shell);
  await machine.waitFor(machine.console, /^the shell goes on/m, 120);
  expect(machine.log.text).toBe("");
});

test("net=pass leaves the card to the guest, stealth=on hides Sheer from it", async () => {
  const machine = await boot(sheer("net=pass stealth=on"), await debian('sheerctl present || say "sheer hidden"'));
  expect(await machine.waitForEnd(180)).toBe(0);
  expect(machine.log.text).toContain("the guest goes on");
  expect(machine.console.text).toContain("@@ sheer hidden");
  expect(readGuestReport(machine.console.text)).toMatchObject({ cards: [{ id: "8086:10d3" }], ping: true, done: true });
});

test("interrupts.intercept=off leaves the guest its interrupts: the card that could do MSI calls it by its line", async () => {
  const machine = await boot(sheer("interrupts.intercept=off"), await debian());
  expect(await machine.waitForEnd(180)).toBe(0);
  expect(machine.log.text).toContain("virtio-net in place of network card 8086:10d3");
  expect(machine.log.text).not.toMatch(/warning|error/);
  const report = readGuestReport(machine.console.text);
  expect(report).toMatchObject({ cards: [{ id: "1af4:1000" }], lease: "10.0.2.15", ping: true, done: true });
  expect(report.interrupts).toEqual([expect.stringMatching(/IO-APIC.*virtio0$/)]);
  expect(report.sheer).toMatchObject({ "exits.interrupt": "0", traps: "0" });
});
