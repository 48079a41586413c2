import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { expect, test, vi } from "vitest";
import { exitCode } from "../../../cli/errors.ts";
import { makeTemporaryFolder } from "../../temporary.ts";
import { sheer } from "./command.ts";

test("help is plain, goes to stdout and is a success", async () => {
  const outcome = await sheer("--help");
  expect(outcome).toMatchObject({ exitCode: exitCode.ok, stderr: "" });
  expect(outcome.stdout).toContain("demo");
});

test.each([
  ["an unknown command", ["frobnicate"]],
  ["an unknown option", ["run", "--frobnicate"]],
  ["an unknown network card", ["run", "--nic", "ne2000"]],
  ["a number that is none", ["run", "--memory", "lots"]],
  ["two guests at once", ["run", "--shell", "--efi", "x.efi"]],
  ["an initramfs without a kernel", ["run", "--initrd", "x"]],
  ["an unknown setting", ["run", "--settings", "frobnicate=1"]],
  ["settings that do not go together", ["run", "--settings", "interrupts.intercept=off net.interrupts=guest"]],
  ["an unknown emulator", ["run", "--machine", "pdp11"]],
  ["a card that Bochs lacks", ["run", "--machine", "bochs", "--nic", "e1000e"]],
  ["an option of QEMU's for Bochs", ["run", "--machine", "bochs", "--icount"]],
  ["an option of Bochs's for QEMU", ["run", "--processor", "ryzen"]],
])("%s is a wrong usage", async (_, args) => {
  const outcome = await sheer(...args);
  expect(outcome).toMatchObject({ exitCode: exitCode.usage, stdout: "" });
  expect(outcome.stderr).not.toBe("");
});

test.each([
  ["kernel", ["run", "--bare", "--kernel", "missing-file"]],
  ["EFI program", ["run", "--bare", "--efi", "missing-file"]],
  ["settings file", ["config", "check", "missing-file"]],
])("a missing %s is named", async (_, args) => {
  const outcome = await sheer(...args);
  expect(outcome.exitCode).toBe(exitCode.failure);
  expect(outcome.stderr).toBe("sheer: There is no file missing-file; check its name.\n");
});

test.each([
  ["demo", (port: number) => ["demo", "--bare", "--port", String(port)]],
  ["run", (port: number) => ["run", "--bare", "--shell", "--forward", `${port}:80`]],
])("a port in use is named by sheer %s", async (_, argsFor) => {
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const { port } = taken.address() as AddressInfo;
  const outcome = await sheer(...argsFor(port));
  taken.close();
  expect(outcome.exitCode).toBe(exitCode.failure);
  expect(outcome.stderr).toContain(`Port ${port} of 127.0.0.1 is in use`);
});

test.each([
  ["QEMU", "qemu", "qemu-system-x86_64 is not on this machine; install the Debian package qemu-system-x86"],
  ["Bochs", "bochs", "bochs-bin is not on this machine; install the Debian package bochs"],
])("a missing %s is named with its package", async (_, machine, sentence) => {
  vi.stubEnv("PATH", makeTemporaryFolder());
  const words = ["run", "--machine", machine, "--bare", "--shell"];
  const outcome = await sheer(...words).finally(() => vi.unstubAllEnvs());
  expect(outcome.exitCode).toBe(exitCode.missingEnvironment);
  expect(outcome.stderr).toContain(sentence);
});
