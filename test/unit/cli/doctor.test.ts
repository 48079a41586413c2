import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { examineTarget } from "../../../cli/doctor/target.ts";
import { makeTemporaryFolder } from "../../temporary.ts";

interface Target {
  vendor: string;
  flags: string;
  vmxFlags?: string;
  efi: boolean;
  secureBoot: boolean;
  card: string;
}

const good: Target = { vendor: "AuthenticAMD", flags: "fpu svm npt", efi: true, secureBoot: false, card: "10d3" };
const intel: Target = {
  ...good,
  vendor: "GenuineIntel",
  flags: "fpu vmx tpr_shadow ept vpid ept_ad",
  vmxFlags: "vnmi invvpid ept_ad ept_1gb flexpriority ept vpid unrestricted_guest",
};

/** What is wrong with such a machine, as Linux would show it. */
function wrongWith(target: Target): string[] {
  const top = makeTemporaryFolder();
  const write = (file: string, content: string | Buffer): void => {
    mkdirSync(dirname(join(top, file)), { recursive: true });
    writeFileSync(join(top, file), content);
  };
  const device = "sys/bus/pci/devices/0000:00:02.0";
  const controls = target.vmxFlags === undefined ? "" : `vmx flags\t: ${target.vmxFlags}\n`;
  const processor = `processor\t: 0\nvendor_id\t: ${target.vendor}\nflags\t\t: ${target.flags}\n${controls}bugs\t\t:\n\n`;
  write("proc/cpuinfo", processor + processor.replace("processor\t: 0", "processor\t: 1"));
  write(`${device}/class`, "0x020000\n");
  write(`${device}/vendor`, "0x8086\n");
  write(`${device}/device`, `0x${target.card}\n`);
  const variable = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
  if (target.efi) write(variable, Buffer.from([6, 0, 0, 0, target.secureBoot ? 1 : 0]));
  return examineTarget(top)
    .filter((finding) => !finding.good)
    .map((finding) => `${finding.what}: ${finding.advice}`);
}

test.each([
  ["AMD's", good],
  ["Intel's", intel],
])("a machine with all that Sheer needs is ready: %s", (_, target) => {
  expect(wrongWith(target)).toEqual([]);
});

test.each([
  ["without AMD-V", { flags: "fpu npt" }, "switch SVM (AMD-V) on in the firmware"],
  ["without nested paging", { flags: "fpu svm" }, "nested paging"],
  ["started by a legacy BIOS", { efi: false }, "set the firmware to boot by UEFI"],
  ["with Secure Boot", { secureBoot: true }, "sheer.efi is not signed"],
  ["with an unknown network card", { card: "ffff" }, "a network card that Sheer knows"],
])("a machine %s is told what to do", (_, difference, complaint) => {
  expect(wrongWith({ ...good, ...difference })).toEqual([expect.stringContaining(complaint)]);
});

test.each([
  ["without Intel VT-x", { flags: "fpu tpr_shadow ept vpid" }, "switch Intel VT-x"],
  ["without extended page tables", { flags: "fpu vmx" }, "extended page tables"],
  ["without unrestricted guests", { vmxFlags: "vnmi ept vpid" }, "unrestricted guests"],
])("a machine of Intel's %s is told what to do", (_, difference, complaint) => {
  expect(wrongWith({ ...intel, ...difference })).toEqual([expect.stringContaining(complaint)]);
});
