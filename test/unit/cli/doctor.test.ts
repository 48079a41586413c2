import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { examineTarget } from "../../../cli/doctor/target.ts";
import { makeTemporaryFolder } from "../../temporary.ts";

interface Target {
  flags: string;
  efi: boolean;
  secureBoot: boolean;
  card: string;
}

const good: Target = { flags: "fpu svm npt", efi: true, secureBoot: false, card: "10d3" };

/** What is wrong with such a machine, as Linux would show it. */
function wrongWith(target: Target): string[] {
  const top = makeTemporaryFolder();
  const write = (file: string, content: string | Buffer): void => {
    mkdirSync(dirname(join(top, file)), { recursive: true });
    writeFileSync(join(top, file), content);
  };
  const device = "sys/bus/pci/devices/0000:00:02.0";
  write("proc/cpuinfo", `processor\t: 0\nflags\t\t: ${target.flags}\nbugs\t\t:\n`);
  write(`${device}/class`, "0x020000\n");
  write(`${device}/vendor`, "0x8086\n");
  write(`${device}/device`, `0x${target.card}\n`);
  const variable = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
  if (target.efi) write(variable, Buffer.from([6, 0, 0, 0, target.secureBoot ? 1 : 0]));
  return examineTarget(top)
    .filter((finding) => !finding.good)
    .map((finding) => `${finding.what}: ${finding.advice}`);
}

test("a machine with all that Sheer needs is ready", () => {
  expect(wrongWith(good)).toEqual([]);
});

test.each([
  ["without AMD-V", { flags: "fpu npt" }, "switch SVM (AMD-V) on in the firmware"],
  ["with Intel VT-x", { flags: "fpu vmx npt" }, "Intel VT-x, which Sheer does not use yet"],
  ["without nested paging", { flags: "fpu svm" }, "nested paging"],
  ["started by a legacy BIOS", { efi: false }, "set the firmware to boot by UEFI"],
  ["with Secure Boot", { secureBoot: true }, "sheer.efi is not signed"],
  ["with an unknown network card", { card: "ffff" }, "a network card that Sheer knows"],
])("a machine %s is told what to do", (_, difference, complaint) => {
  expect(wrongWith({ ...good, ...difference })).toEqual([expect.stringContaining(complaint)]);
});
