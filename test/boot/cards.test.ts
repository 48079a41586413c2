import { expect, test } from "vitest";
import { isContained, readGuestReport } from "../../cli/guest/report.ts";
import { boot, debian, sheer } from "./pc.ts";

test("a card without MSI is shown as a virtio-net without MSI-X, behind Intel's IOMMU", async () => {
  const machine = await boot(sheer(), await debian(), { nic: "e1000", extra: ["-device", "intel-iommu"] });
  expect(await machine.waitForEnd(180)).toBe(0);
  const report = readGuestReport(machine.console.text);
  expect(report).toMatchObject({ cards: [{ id: "1af4:1000", class: "0200" }], ping: true, done: true });
  expect(report.interrupts).toEqual([expect.stringMatching(/IO-APIC.*virtio0$/)]);
  expect(machine.log.text).toContain("devices are fenced off");
  expect(machine.log.text).not.toContain("was refused");
});

test("without a network card, and with one processor, everything passes through", async () => {
  const machine = await boot(sheer(), await debian(), { nic: "none", cpus: 1 });
  expect(await machine.waitForEnd(180)).toBe(0);
  expect(machine.log.text).toContain("the guest goes on");
  const report = readGuestReport(machine.console.text);
  expect(report).toMatchObject({ cards: [], done: true });
  expect(report.processors.map(isContained)).toEqual([true]);
});
