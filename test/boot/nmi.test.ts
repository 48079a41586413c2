import { expect, test } from "vitest";
import { boot, debian, sheer } from "./pc.ts";

test("non-maskable interrupts reach the guest's own handler, and it goes on", async () => {
  const machine = await boot(sheer(), await debian('say "waiting"; sleep 4; say "awake"'));
  await machine.waitFor(machine.console, /^@@ waiting/m, 180);
  // Several, so that some arrive while the guest handles another or Sheer answers an exit.
  for (let i = 0; i < 10; i++) await machine.qmp.monitor("nmi");
  await machine.waitFor(machine.console, /NMI received for unknown reason/, 60);
  expect(await machine.waitForEnd(180)).toBe(0);
  expect(machine.console.text).toContain("@@ awake");
  expect(machine.console.text).toContain("@@ done");
  expect(machine.log.text).not.toContain("trap");
});
