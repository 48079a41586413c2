import { expect, test } from "vitest";
import { trixie } from "../../cli/environment/installation.ts";
import { isContained, readGuestReport } from "../../cli/guest/report.ts";
import { boot, debian, sheer } from "../boot/pc.ts";

// QEMU emulates this card from 8.0 on.
test("a card of Intel's that no driver of Sheer's knows, the 82576, is left to the guest, which uses it", async () => {
  const extra = ["-netdev", "user,id=igb,ipv6=off", "-device", "igb,netdev=igb,addr=2,romfile="];
  const machine = await boot(sheer(), await debian(), { installation: trixie, cpus: 2, nic: "none", extra });
  expect(await machine.waitForEnd(400)).toBe(0);
  expect(machine.log.text).toContain("no network card is taken: all pass through");
  const report = readGuestReport(machine.console.text);
  expect(report).toMatchObject({ cards: [{ id: "8086:10c9" }], lease: "10.0.2.15", ping: true, done: true });
  expect(report.processors.map(isContained)).toEqual([true, true]);
  expect(machine.log.text).not.toContain("error");
});
