import { join } from "node:path";
import { expect, test } from "vitest";
import { buildProgramOf } from "../../cli/build/build.ts";
import { startupMedium } from "../../cli/guest/startup.ts";
import { readPpm, textOf } from "../screen.ts";
import { makeTemporaryFolder } from "../temporary.ts";
import type { Machine } from "../../cli/qemu/machine.ts";
import { boot, bootFrom, sheer, verdicts } from "./pc.ts";

const seconds = 120;

test("the gate to the firmware keeps the stack aligned and passes 0 to 7 arguments", async () => {
  const gate = await buildProgramOf("guest/programs/gate.ts");
  const medium = startupMedium(undefined, { kind: "shell", lines: ["gate.efi", "sheer.efi log=0x3e8", "gate.efi"] });
  medium.files["gate.efi"] = { copyOf: gate };
  medium.files["sheer.efi"] = { copyOf: sheer().efi };
  const machine = await bootFrom(medium);
  // Once on the bare machine and, after a program that came back, once on Sheer.
  await machine.waitFor(machine.console, /@@ done[^]*@@ done/, seconds);
  expect(verdicts(machine.console.text)).toEqual(
    Object.fromEntries(Array.from({ length: 8 }, (_, count) => [`gate ${count}`, "ok"])),
  );
  expect(machine.console.text.match(/@@ gate \d ok/g)).toHaveLength(16);
  expect(machine.log.text).toContain("the guest goes on");
});

test("the guest learns nothing from Sheer's block, changes nothing in it, and has no AMD-V", async () => {
  const program = await buildProgramOf("guest/programs/isolation.ts");
  const machine = await boot(sheer(), { kind: "efi", program, arguments: "" });
  await machine.waitFor(machine.console, /^@@ isolation-done \d+\n/m, seconds);
  const found = verdicts(machine.console.text);
  expect(Object.keys(found).length).toBe(24);
  expect(Object.entries(found).filter(([, verdict]) => verdict !== "ok")).toEqual([]);
  await machine.waitFor(machine.log, /virtio-net: the guest broke the rules of a queue, times: 1/, seconds);
  const block = /block 0x([0-9a-f]+) to/.exec(machine.log.text)?.[1] ?? "";
  const megabytes = /@@ isolation-done (\d+)/.exec(machine.console.text)?.[1] ?? "";
  expect(Number(megabytes)).toBe(parseInt(block, 16) / 2 ** 20);
});

test("a trap of the hypervisor is reported by the function's name in the log and on the screen, and the guest lives on", async () => {
  const trapping = await buildProgramOf("test/cores/trapping.ts");
  const program = await buildProgramOf("guest/programs/trapper.ts");
  const medium = startupMedium({ ...sheer(), efi: trapping }, { kind: "shell", lines: ["trapper.efi"] });
  medium.files["trapper.efi"] = { copyOf: program };
  const machine = await bootFrom(medium);
  await machine.waitFor(machine.console, /^@@ done/m, seconds);
  await machine.waitFor(machine.log, /(error: trap [^\n]*\n[^]*){6}/, seconds);
  expect(machine.console.text.match(/@@ survived \d/g)).toHaveLength(6);
  const traps = machine.log.text.match(/error: trap .*/g) ?? [];
  expect(traps).toHaveLength(6);
  // Whether the core's export became part of the loop around VMRUN is the compiler's choice.
  expect(traps[0]).toMatch(/trap 0x105 at 0xffffffff80[0-9a-f]+ in (exit_loop|test\/cores\/trapping\/exit)/);
  expect(traps[1]).toMatch(/trap 0xe at .* in (exit_loop|test\/cores\/trapping\/exit), address 0x8\b/);
  expect(traps[2]).toMatch(/trap 0xe at .* in (exit_loop|test\/cores\/trapping\/exit), address 0xf0000000\b/);
  expect(traps[3]).toMatch(/trap 0x103 at .* in (exit_loop|test\/cores\/trapping\/exit)/);
  expect(traps[4]).toMatch(/trap 0xe at .* in test\/cores\/trapping\/failDeeper, address 0xffffffffc0/);
  // A thread's stack: behind those of all processors. It comes to its trap after it has left the stack once.
  expect(traps[5]).toMatch(/trap 0xe at .* in test\/cores\/trapping\/failDeeper, address 0xffffffffc04/);

  // The screen comes after the log.
  await expect.poll(() => linesOnScreen(machine), { timeout: 20_000, interval: 1000 }).toEqual(traps);
});

/** The log's lines on the screen, those that were wrapped put together again. */
async function linesOnScreen({ qmp }: Machine): Promise<string[]> {
  const dump = join(makeTemporaryFolder(), "screen.ppm");
  await qmp.execute("screendump", { filename: dump });
  const { width, height, pixel } = readPpm(dump);
  const text = textOf(pixel, width, height).join("");
  return text.match(/error: trap .*?(?=sheer: |$)/g) ?? [];
}
