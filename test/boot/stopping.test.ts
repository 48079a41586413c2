import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { exitCode } from "../../cli/errors.ts";
import { root } from "../../cli/paths.ts";
import { makeTemporaryFolder } from "../temporary.ts";

interface Running {
  command: ChildProcess;
  /** Where this command, and nobody else, keeps its files. */
  folder: string;
  ended: Promise<{ code: number | null; stderr: string }>;
}

/** Starts `sheer run` as a user would, and waits until the emulator shows the firmware's first words. */
async function startRun(): Promise<Running> {
  const folder = makeTemporaryFolder();
  const words = [join(root, "cli/sheer.mjs"), "run", "--bare", "--shell"];
  const command = spawn(process.execPath, words, { env: { ...process.env, TMPDIR: folder } });
  let stderr = "";
  command.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  const ended = new Promise<{ code: number | null; stderr: string }>((resolve) => {
    command.on("close", (code) => resolve({ code, stderr }));
  });
  await once(command.stdout, "data");
  expect(emulatorsIn(folder)).toHaveLength(1);
  return { command, folder, ended };
}

/** The ids of the emulators whose files are in the folder. */
function emulatorsIn(folder: string): string[] {
  return readdirSync("/proc").filter((id) => /^\d+$/.test(id) && isEmulatorIn(id, folder));
}

function isEmulatorIn(id: string, folder: string): boolean {
  try {
    const commandLine = readFileSync(`/proc/${id}/cmdline`, "utf8");
    return commandLine.includes("qemu-system") && commandLine.includes(folder);
  } catch {
    // It ended while we looked.
    return false;
  }
}

test.each(["SIGINT", "SIGTERM"] as const)("%s ends the emulator and leaves no file behind", async (signal) => {
  const { command, folder, ended } = await startRun();
  command.kill(signal);
  expect(await ended).toEqual({ code: exitCode.interrupted, stderr: "sheer: Stopped; nothing is left running.\n" });
  expect(emulatorsIn(folder)).toEqual([]);
  expect(readdirSync(folder).filter((name) => name.startsWith("sheer-"))).toEqual([]);
});

test("an emulator does not outlive a command that is killed", async () => {
  const { command, folder, ended } = await startRun();
  command.kill("SIGKILL");
  await ended;
  await expect.poll(() => emulatorsIn(folder)).toEqual([]);
});
