// Several processors with Intel VT-x, and AMD-V, on Bochs: 2.7 cannot start others under VMX, 3.0 can.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { BochsOptions } from "../../cli/bochs/configuration.ts";
import type { BochsMachine } from "../../cli/bochs/machine.ts";
import { buildProgramOf } from "../../cli/build/build.ts";
import { trixie } from "../../cli/environment/installation.ts";
import { need } from "../../cli/environment/tools.ts";
import { makeDebianGuest } from "../../cli/guest/linux.ts";
import { isContained, readGuestReport } from "../../cli/guest/report.ts";
import { startupMedium } from "../../cli/guest/startup.ts";
import { grubMedium } from "../boot/grub.ts";
import { verdictsOf } from "../boot/multiprocessor.ts";
import { expectOffAndOn, offAndOn } from "../boot/off-and-on.ts";
import { bootOnBochs, sheer, verdicts } from "../boot/pc.ts";
import { makeTemporaryFolder } from "../temporary.ts";
import { acpiTables } from "./acpi-tables.ts";

// A local APIC of Bochs's that has been disabled stays so. Sheer disables a real one only to leave x2APIC mode.
test.each([
  ["in x2APIC mode too", [], ["alone", "together", "x2apic-alone", "x2apic-together"]],
  ["with its local APIC off and on", ["cpu: exclude_features=x2apic"], ["alone", "together", "disabled", "enabled"]],
])("the firmware runs code on the other processor on VT-x, %s", async (_, extra, kinds) => {
  const program = await buildProgramOf("guest/programs/multiprocessor.ts");
  const medium = startupMedium(sheer(), { kind: "efi", program, arguments: "" });
  const machine = await bootOnBochs(medium, { installation: trixie, cpus: 2, nic: "none", extra });
  await machine.waitFor(machine.console, new RegExp(`^@@ ${kinds.at(-1)} .*\\n`, "m"), 300);
  expect(verdicts(machine.console.text)).toEqual(verdictsOf(kinds, 2, "ok"));
});

/**
 * Sheer, and Debian as its guest. Before 3.1 Bochs has no fw_cfg, and so OVMF no ACPI tables: GRUB brings those by which Linux
 * finds the processors.
 */
async function bootDebian(pc: BochsOptions & { cpus: number }, moreSteps?: string): Promise<BochsMachine> {
  const folder = makeTemporaryFolder();
  const tables = Object.entries(acpiTables(pc.cpus));
  const commands = `insmod /acpi.mod\nacpi ${tables.map(([name]) => `/${name}`).join(" ")}`;
  const append = "console=ttyS0 acpi=noirq cryptomgr.notests rodata=off";
  const medium = await grubMedium(await makeDebianGuest(folder, moreSteps), append, commands);
  medium.files["acpi.mod"] = { copyOf: need("/usr/lib/grub/x86_64-efi/acpi.mod") };
  for (const [name, bytes] of tables) {
    await writeFile(join(folder, name), bytes);
    medium.files[name] = { copyOf: join(folder, name) };
  }
  return bootOnBochs(medium, { installation: trixie, ...pc });
}

test("Debian uses virtio-net on two processors with VT-x, and switches the second one off and on", async () => {
  const machine = await bootDebian({ cpus: 2 }, offAndOn);
  expect(await machine.waitForEnd(580)).toBe(0);
  const report = readGuestReport(machine.console.text);
  expect(report).toMatchObject({ cards: [{ id: "1af4:1000" }], lease: "10.0.2.15", ping: true, done: true });
  expect(report.processors.filter(isContained)).toHaveLength(4); // both, before and after
  expectOffAndOn(machine, 2);
});

test("Debian uses virtio-net on a processor with AMD-V, as Bochs emulates one", async () => {
  const machine = await bootDebian({ cpus: 1, processor: "ryzen" });
  expect(await machine.waitForEnd(580)).toBe(0);
  const report = readGuestReport(machine.console.text);
  expect(report).toMatchObject({ cards: [{ id: "1af4:1000" }], lease: "10.0.2.15", ping: true, done: true });
  expect(report.processors.map(isContained)).toEqual([true]);
  expect(machine.log.text).not.toContain("error");
});
