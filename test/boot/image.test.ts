import { join } from "node:path";
import { expect, test } from "vitest";
import { readGuestReport } from "../../cli/guest/report.ts";
import { makeTemporaryFolder } from "../temporary.ts";
import { sheer as runCommand } from "../unit/cli/command.ts";
import { boot, debian } from "./pc.ts";

test("a machine started from the disk image goes on with its next boot entry, on Sheer", async () => {
  const image = join(makeTemporaryFolder(), "sheer.img");
  const { exitCode, stderr } = await runCommand("image", "--output", image);
  expect(exitCode, stderr).toBe(0);
  const drive = `if=none,id=stick,format=raw,file=${image}`;
  const extra = ["-drive", drive, "-device", "ide-hd,bus=ide.1,drive=stick,bootindex=0"];
  const machine = await boot(undefined, await debian(), { extra });
  expect(await machine.waitForEnd(180)).toBe(0);
  expect(readGuestReport(machine.console.text)).toMatchObject({ cards: [{ id: "1af4:1000" }], ping: true, done: true });
});
