import { expect, test } from "vitest";
import { boot, debian, sheer } from "./pc.ts";

test("a guest's triple fault resets the machine", async () => {
  const machine = await boot(sheer(), await debian('say "faulting"; reboot -f', "reboot=triple"));
  // The emulator is told to end at a reset.
  expect(await machine.waitForEnd(180)).toBe(0);
  expect(machine.log.text).toContain("the guest goes on");
  expect(machine.console.text).toContain("@@ faulting");
  expect(machine.console.text).not.toContain("@@ done");
});
