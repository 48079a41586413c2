// Sheer on an Intel processor, up to its guest's first entry; and why it may not start there.
import { describe, expect, test } from "vitest";
import type { MachineOptions } from "../../../machine/machine.ts";
import { FeatureControl, VmxMsr } from "../../../machine/vmx/capabilities.ts";
import { Field, Primary, Secondary } from "../../../machine/vmx/vmcs.ts";
import { INTEL, makeIntel } from "./setup.ts";

const UNSUPPORTED = (1n << 63n) | 3n;

describe("on a processor with VT-x", () => {
  test("the guest is entered, with what Sheer needs", () => {
    const machine = makeIntel();
    expect(machine.boot()).toBe(0n);
    const { vmx } = machine.processors.boot;
    const vmcs = vmx!.current!;
    expect(vmcs.launched).toBe(true);
    expect(vmcs.get(Field.Rip)).toBe(BigInt(machine.firmware.returnAddress));
    expect(vmcs.controls(Field.Secondary, Secondary.Ept)).toBe(true);
    expect(vmcs.controls(Field.Secondary, Secondary.Unrestricted)).toBe(true);
    expect(vmcs.controls(Field.ProcessorBased, Primary.Cr3Load | Primary.Cr3Store | Primary.Hlt)).toBe(false);
  });

  test("VMX is allowed and locked where the firmware has left that open", () => {
    const machine = makeIntel();
    machine.boot();
    expect(machine.msrs.read(VmxMsr.FeatureControl)).toBe(FeatureControl.Locked | FeatureControl.OutsideSmx);
  });

  test.each([
    ["allowed and locked it", { featureControl: 5n }],
    ["and it has XSAVES", { xsaves: true }],
    ["and it has no VPID, RDTSCP or INVPCID", { vpid: false, rdtscp: false, invpcid: false }],
  ])("the guest is entered where the firmware has %s", (_name, vmx) => {
    expect(makeIntel({ vmx }).boot()).toBe(0n);
  });
});

describe("Sheer says why it does not start, and the machine goes on, with", () => {
  test.each<[string, MachineOptions, string]>([
    ["no VT-x", { cpu: { ...INTEL, vmx: false } }, "Intel VT-x"],
    ["VT-x locked off", { vmx: { featureControl: FeatureControl.Locked } }, "the firmware has disabled"],
    ["no extended page tables", { vmx: { ept: false } }, "extended page tables"],
    ["no unrestricted guest", { vmx: { unrestrictedGuest: false } }, "unrestricted guest"],
    ["every MOV to CR3 an exit", { vmx: { trueControls: false } }, "true VMX controls"],
    ["EFER and PAT not switched", { vmx: { switchesMsrs: false } }, "EFER and PAT"],
  ])("%s", (_name, options, sentence) => {
    const machine = makeIntel(options);
    expect(BigInt.asUintN(64, machine.boot())).toBe(UNSUPPORTED);
    expect(machine.screen).toContain(sentence);
    expect(machine.processors.boot.vmx?.on ?? false).toBe(false);
  });
});
