import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { buildProgramOf } from "../../cli/build/build.ts";
import { findTools } from "../../cli/build/tools.ts";
import { makeTemporaryFolder } from "../temporary.ts";
import { Cases } from "../unit/decode/cases.ts";
import { encode } from "../unit/decode/native.ts";
import { boot, sheer } from "./pc.ts";

const seconds = 120;

/** Builds effects/program.c, a UEFI program; returns its path. */
async function buildProgram(folder: string): Promise<string> {
  const { clang, lld } = await findTools();
  const [object, efi] = [join(folder, "effects.obj"), join(folder, "effects.efi")];
  const flags =
    "--target=x86_64-unknown-windows -std=c11 -O1 -Wall -Werror -ffreestanding -fno-builtin -fno-stack-protector " +
    "-mno-red-zone -mgeneral-regs-only -mno-stack-arg-probe";
  const source = fileURLToPath(new URL("effects/program.c", import.meta.url));
  execFileSync(clang, [...flags.split(" "), "-c", source, "-o", object]);
  execFileSync(lld, ["/subsystem:efi_application", "/entry:efi_main", "/nodefaultlib", `/out:${efi}`, object]);
  return efi;
}

test("instructions on a hooked page do what the processor does on plain memory, in 16-, 32- and 64-bit mode", async () => {
  const folder = makeTemporaryFolder();
  // QEMU takes VEX prefixes in code of 32 and 64 bits only.
  const cases = ([16, 32, 64] as const).flatMap((bits) =>
    new Cases(bits).make({ avx: bits !== 16, emulated: true, privileged: true }),
  );
  writeFileSync(join(folder, "cases"), encode(cases));
  const extra = ["-fw_cfg", `name=opt/sheer/cases,file=${join(folder, "cases")}`];
  const efi = await buildProgramOf("test/cores/hooking.ts");
  const guest = { kind: "efi", program: await buildProgram(folder), arguments: "" } as const;
  const machine = await boot({ ...sheer(), efi }, guest, { cpus: 1, extra });
  await machine.waitFor(machine.console, /^@@ compared \d+\n/m, seconds);
  const differences = [...machine.console.text.matchAll(/^@@ differs (\d+) (.*)$/gm)].map(([, index, what]) => {
    const { name, bits, code } = cases[Number(index)]!;
    return `${bits}-bit ${name} (${Buffer.from(code).toString("hex")}): ${what}`;
  });
  expect(differences).toEqual([]);
  expect(machine.console.text).toContain(`@@ compared ${cases.length}`);
});
