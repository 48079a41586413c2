import { expect, test } from "vitest";
import { boot, sheer, showStatus } from "./pc.ts";
import type { PcOptions } from "../../cli/qemu/arguments.ts";

// Where Sheer cannot run, it says why and what to do, and the machine goes on without it.

/** EFI's error codes, as the shell shows them: without the topmost bit. */
const notSupported = "0x3";
const outOfResources = "0x9";
const alreadyStarted = "0x14";

test.each<[string, PcOptions, RegExp, string]>([
  ["without AMD-V", { extra: ["-cpu", "max,-svm,-la57"] }, /Sheer needs a processor with AMD-V/, notSupported],
  ["without nested paging", { extra: ["-cpu", "qemu64,+svm"] }, /Sheer needs .*nested paging/, notSupported],
  ["with too little memory", { memory: 64 }, /Sheer needs 16 MiB of free memory/, outOfResources],
])("a machine %s is told so and goes on", async (_, pc, sentence, status) => {
  const machine = await boot(sheer(), { kind: "shell", lines: showStatus }, pc);
  await machine.waitFor(machine.console, /^the shell goes on/m, 120);
  expect(machine.console.text.replaceAll("\n", " ")).toMatch(sentence);
  expect(machine.console.text).toContain(`status ${status}\n`);
  expect(machine.log.text).not.toContain("the guest goes on");
});

test("a second start says that Sheer runs already, and changes nothing", async () => {
  const machine = await boot(sheer(), { kind: "shell", lines: ["sheer.efi log=0x3e8", ...showStatus] });
  await machine.waitFor(machine.console, /^the shell goes on/m, 120);
  expect(machine.console.text.replaceAll("\n", " ")).toMatch(/Sheer is already running on this machine/);
  expect(machine.console.text).toContain(`status ${alreadyStarted}\n`);
  expect(machine.log.text.match(/the guest goes on/g)).toHaveLength(1);
});
