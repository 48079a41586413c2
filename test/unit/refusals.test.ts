// Every way not to start: the user is told why, the firmware gets its status, and nothing is left behind.
import { describe, expect, test } from "vitest";
import type { CpuidResult } from "../../machine/cpuid.ts";
import { EfiStatus } from "../../machine/firmware/uefi.ts";
import { Machine, type MachineOptions } from "../../machine/machine.ts";
import { Msr } from "../../machine/msrs.ts";
import { boot } from "./vcpu/setup.ts";

/** CPUID as a program finds it that is started once more on a machine where Sheer runs. */
function underSheer(loadOptions = "sheer.efi"): Record<number, CpuidResult> {
  const { guest } = boot({ loadOptions });
  const leaves = [1, 0x4000_0000, 0x4000_0001, 0x8000_0001, 0x8000_000a];
  return Object.fromEntries(leaves.map((leaf) => [leaf, guest.cpuid(leaf)]));
}

const AMD_V_ABSENT = "Sheer needs a processor with AMD-V, which this one lacks. The machine goes on without Sheer.";
const REFUSALS: readonly [string, MachineOptions, bigint, string][] = [
  ["the processor has no AMD-V", { cpu: { svm: false } }, EfiStatus.Unsupported, AMD_V_ABSENT],
  [
    "the processor has no such leaf",
    { cpu: { leaves: { 0x8000_0000: [0x8000_0008, 0, 0, 0] } } },
    EfiStatus.Unsupported,
    AMD_V_ABSENT,
  ],
  [
    "the firmware has disabled AMD-V by VM_CR.SVMDIS",
    { svmDisabled: true },
    EfiStatus.Unsupported,
    "Sheer needs AMD-V, which the firmware has disabled: turn SVM on in the firmware's setup. " +
      "The machine goes on without Sheer.",
  ],
  [
    "the processor has no nested paging",
    { cpu: { npt: false } },
    EfiStatus.Unsupported,
    "Sheer needs a processor with nested paging, which this one lacks. The machine goes on without Sheer.",
  ],
  [
    "there are more processors than it has room for",
    { processors: 65 },
    EfiStatus.Unsupported,
    "Sheer has room for 64 processors, which this machine exceeds, and leaves none outside. " +
      "The machine goes on without Sheer.",
  ],
  [
    "Sheer is already running",
    { cpu: { leaves: underSheer() } },
    EfiStatus.AlreadyStarted,
    "Sheer is already running on this machine: nothing has changed.",
  ],
  [
    "Sheer is already running unseen",
    { cpu: { leaves: underSheer("sheer.efi stealth=on") } },
    EfiStatus.Unsupported,
    AMD_V_ABSENT,
  ],
];

describe.each(REFUSALS)("Sheer does not start if %s", (_name, options, status, sentence) => {
  const refused = (): Machine => {
    const files = { "\\EFI\\sheer\\sheer.conf": "log=0x3e8" };
    const machine = new Machine({ forbidTraps: true, firmwareNicDriver: true, files, ...options });
    expect(machine.boot()).toBe(status);
    return machine;
  };

  test("and says so on the console and in the log", () => {
    const machine = refused();
    expect(machine.screen).toBe(`${sentence}\r\n`);
    expect(machine.log()).toContain(`error: ${sentence}`);
    expect(machine.guestRuns).toBe(false);
  });

  test("and leaves nothing behind: no memory, no file, no device, no register", () => {
    const untouched = new Machine({ firmwareNicDriver: true, ...options });
    const machine = refused();
    const { firmware, msrs, card } = machine;
    expect(firmware.bootServices.pool.size).toBe(0);
    expect(firmware.fileSystem.open).toBe(0);
    expect(firmware.bootServices.disconnected).toEqual([]);
    expect(card.pci.command).toBe(untouched.card.pci.command);
    expect(msrs.read(Msr.Efer)).toBe(untouched.msrs.read(Msr.Efer));
    expect(machine.apic.sent).toEqual([]);
    if (options.cpu?.svm ?? true) expect(msrs.read(Msr.VmHsavePa)).toBe(0n);
  });
});

test("a start takes no memory from the firmware beyond Sheer's block, and leaves no file open", () => {
  const machine = new Machine({ forbidTraps: true, files: { "\\EFI\\sheer\\sheer.conf": "log=0x3e8" } });
  const free = (): number =>
    machine.firmware.map.regions.reduce((sum, { type, base, end }) => sum + (type === 7 ? end - base : 0), 0);
  const before = free();
  expect(machine.boot()).toBe(0n);
  expect(before - free()).toBe(machine.block.size);
  expect(machine.firmware.bootServices.pool.size).toBe(0);
  expect(machine.firmware.fileSystem.open).toBe(0);
});
