// The simulated processor's VMX operation (Intel SDM 3, chapters 25, 27 and 31, and appendix A).
import { beforeEach, describe, expect, test } from "vitest";
import { PhysicalMemory } from "../../../machine/memory.ts";
import { GeneralProtection } from "../../../machine/msrs.ts";
import { FeatureControl, REVISION, VmxCapabilities, VmxMsr } from "../../../machine/vmx/capabilities.ts";
import { VmxError, VmxOperation } from "../../../machine/vmx/operation.ts";
import { ExitControl, Field, Pin, Primary, Secondary } from "../../../machine/vmx/vmcs.ts";
import { longMode } from "../vmx/states.ts";

const REGION = 0x1000;
const VMCS = 0x2000;

let memory: PhysicalMemory;
let operation: VmxOperation;

function make(capabilities = new VmxCapabilities()): void {
  memory = new PhysicalMemory(1 << 20);
  memory.write32(REGION, REVISION);
  memory.write32(VMCS, REVISION);
  operation = new VmxOperation(memory, capabilities);
}

function load(): void {
  operation.vmxon(REGION);
  operation.vmclear(VMCS);
  operation.vmptrld(VMCS);
}

/** Everything that an entry needs. */
function fill(): void {
  for (const [field, value] of longMode()) operation.vmwrite(field, value);
  const controls = new VmxCapabilities();
  const required = (field: number): bigint => BigInt(controls.allowed(field).required >>> 0);
  const primary = BigInt((Primary.Secondary | Primary.IoBitmaps | Primary.MsrBitmaps) >>> 0);
  const fields: [number, bigint][] = [
    [Field.PinBased, required(Field.PinBased)],
    [Field.ProcessorBased, required(Field.ProcessorBased) | primary],
    [Field.Secondary, BigInt(Secondary.Ept | Secondary.Unrestricted | Secondary.Vpid)],
    [Field.ExitControls, required(Field.ExitControls) | BigInt(ExitControl.HostAddressSpace | ExitControl.LoadEfer)],
    [Field.EntryControls, required(Field.EntryControls) | longMode().get(Field.EntryControls)!],
    [Field.Vpid, 1n],
    [Field.EptPointer, 0x5000n | (3n << 3n) | 6n],
    [Field.HostCr0, 0x8000_0031n],
    [Field.HostCr4, 0x2020n],
    [Field.HostEfer, 0xd01n],
    [Field.HostCsSelector, 8n],
    [Field.HostTrSelector, 24n],
  ];
  for (const [field, value] of fields) operation.vmwrite(field, value);
}

beforeEach(() => {
  make();
});

describe("VMXON", () => {
  test("wants a page with the revision identifier, and comes once", () => {
    expect(operation.vmxon(REGION + 8)).toBe("invalid");
    expect(operation.vmxon(0x8000)).toBe("invalid");
    expect(operation.vmxon(REGION)).toBe("succeed");
    expect(operation.vmxon(REGION)).toBe("invalid"); // there is no VMCS for the error's number
    operation.vmclear(VMCS);
    operation.vmptrld(VMCS);
    expect(operation.vmxon(REGION)).toBe(VmxError.VmxonInRootOperation);
  });
});

describe("a current VMCS", () => {
  test("comes from VMPTRLD and goes by VMCLEAR", () => {
    operation.vmxon(REGION);
    expect(operation.vmread(Field.Rip)).toBe("invalid");
    load();
    operation.vmwrite(Field.Rip, 0x1234n);
    expect(operation.vmread(Field.Rip)).toBe(0x1234n);
    expect(operation.vmclear(VMCS)).toBe("succeed");
    expect(operation.vmwrite(Field.Rip, 1n)).toBe("invalid");
  });

  test.each<[string, () => unknown, number]>([
    ["VMCLEAR of no page", () => operation.vmclear(VMCS + 1), VmxError.VmclearAddress],
    ["VMCLEAR of the VMXON region", () => operation.vmclear(REGION), VmxError.VmclearVmxonPointer],
    ["VMPTRLD beyond physical addresses", () => operation.vmptrld(2 ** 40), VmxError.VmptrldAddress],
    ["VMPTRLD of the VMXON region", () => operation.vmptrld(REGION), VmxError.VmptrldVmxonPointer],
    ["VMPTRLD without the revision", () => operation.vmptrld(0x8000), VmxError.VmptrldRevision],
    ["VMREAD of what does not exist", () => operation.vmread(0x6828), VmxError.NoSuchField],
    ["VMWRITE of what this processor lacks", () => operation.vmwrite(Field.XssExitingBitmap, 0n), VmxError.NoSuchField],
    ["VMWRITE of what is read only", () => operation.vmwrite(Field.ExitReason, 0n), VmxError.ReadOnlyField],
  ])("notes the error of %s", (_name, act, error) => {
    load();
    expect(act()).toBe(error);
    expect(operation.vmread(Field.InstructionError)).toBe(BigInt(error));
  });

  test("has a field as wide as its encoding says, and 64 bits by halves", () => {
    load();
    operation.vmwrite(Field.EsSelector, 0x1_2345n);
    operation.vmwrite(Field.EsRights, 0x1_0000_00f3n);
    operation.vmwrite(Field.Pat, 0x1_0000_0002n);
    operation.vmwrite(Field.Pat + 1, 7n);
    expect(operation.vmread(Field.EsSelector)).toBe(0x2345n);
    expect(operation.vmread(Field.EsRights)).toBe(0xf3n);
    expect(operation.vmread(Field.Pat)).toBe(0x7_0000_0002n);
    expect(operation.vmread(Field.Pat + 1)).toBe(7n);
    expect(operation.vmread(Field.Rip + 1)).toBe(VmxError.NoSuchField);
  });

  test("has the XSS-exiting bitmap where XSAVES can be enabled", () => {
    make(new VmxCapabilities({ xsaves: true }));
    load();
    expect(operation.vmwrite(Field.XssExitingBitmap, 0n)).toBe("succeed");
  });
});

describe("an entry", () => {
  beforeEach(() => {
    load();
    fill();
  });

  test("is a launch first and a resumption ever after, until VMCLEAR", () => {
    expect(operation.enter(true)).toBe(VmxError.ResumeNotLaunched);
    expect(operation.enter(false)).toBe("succeed");
    expect(operation.enter(false)).toBe(VmxError.LaunchNotClear);
    expect(operation.enter(true)).toBe("succeed");
    operation.vmclear(VMCS);
    operation.vmptrld(VMCS);
    expect(operation.enter(false)).toBe("succeed");
  });

  test.each<[string, number, bigint]>([
    ["a pin-based control that must be 1", Field.PinBased, 0n],
    ["a pin-based control that is none", Field.PinBased, 0x116n],
    ["a processor-based control that must be 1", Field.ProcessorBased, 0x8000_0000n],
    ["a secondary control that is none", Field.Secondary, BigInt(Secondary.Ept | Secondary.Xsaves)],
    ["virtual NMIs without NMI exiting", Field.PinBased, 0x16n | BigInt(Pin.VirtualNmis)],
    ["NMI-window exiting without virtual NMIs", Field.ProcessorBased, 0x8400_6172n | BigInt(Primary.NmiWindow)],
    ["an unrestricted guest without EPT", Field.Secondary, BigInt(Secondary.Unrestricted)],
    ["VPID 0", Field.Vpid, 0n],
    ["an EPT pointer of three levels", Field.EptPointer, 0x5000n | (2n << 3n) | 6n],
    ["an EPT pointer of a type that tables cannot have", Field.EptPointer, 0x5000n | (3n << 3n) | 4n],
    ["I/O bitmaps that are no page", Field.IoBitmapB, 0x800n],
    ["MSR bitmaps that are no page", Field.MsrBitmaps, 1n],
    ["an event of the reserved type", Field.EntryInterruption, 0x8000_0130n],
    ["an NMI of another vector", Field.EntryInterruption, 0x8000_0203n],
    ["#GP without its error code", Field.EntryInterruption, 0x8000_030dn],
    ["#UD with an error code", Field.EntryInterruption, 0x8000_0b06n],
    ["a software interrupt without a length", Field.EntryInterruption, 0x8000_0480n],
  ])("fails for %s", (_name, field, value) => {
    operation.vmwrite(field, value);
    expect(operation.enter(false)).toBe(VmxError.EntryControls);
  });

  test.each<[string, number, bigint]>([
    ["CR0 without NE", Field.HostCr0, 0x8000_0011n],
    ["CR4 without VMXE", Field.HostCr4, 0x20n],
    ["CR4 without PAE", Field.HostCr4, 0x2000n],
    ["CR3 beyond physical addresses", Field.HostCr3, 1n << 40n],
    ["a GDT that is not canonical", Field.HostGdtrBase, 1n << 47n],
    ["an entry point that is not canonical", Field.HostRip, 1n << 63n],
    ["a data segment with RPL 3", Field.HostSsSelector, 0x13n],
    ["no code segment", Field.HostCsSelector, 0n],
    ["no task register", Field.HostTrSelector, 0n],
    ["EFER without LMA", Field.HostEfer, 0x101n],
  ])("fails for a host with %s", (_name, field, value) => {
    operation.vmwrite(field, value);
    expect(operation.enter(false)).toBe(VmxError.EntryHostState);
  });

  test("that finds the guest's state wrong is an exit, and leaves the VMCS clear", () => {
    operation.vmwrite(Field.Rflags, 0n);
    expect(operation.enter(false)).toBe("refused");
    expect(operation.vmread(Field.ExitReason)).toBe(0x8000_0021n);
    operation.vmwrite(Field.Rflags, 2n);
    expect(operation.enter(false)).toBe("succeed");
  });
});

describe("the capability MSRs", () => {
  test("without True registers hold the default-1 controls to 1", () => {
    make(new VmxCapabilities({ trueControls: false }));
    load();
    fill();
    expect(operation.enter(false)).toBe(VmxError.EntryControls);
    expect(() => new VmxCapabilities({ trueControls: false }).read(VmxMsr.TruePinBased)).toThrow(GeneralProtection);
  });

  test("of what this processor lacks are 0", () => {
    const { possible } = new VmxCapabilities({ ept: false }).allowed(Field.Secondary);
    expect(possible & (Secondary.Ept | Secondary.Unrestricted)).toBe(0);
    expect(
      new VmxCapabilities({ unrestrictedGuest: false }).allowed(Field.Secondary).possible & Secondary.Ept,
    ).not.toBe(0);
  });

  test("cannot be written, but for the feature control until it is locked", () => {
    const capabilities = new VmxCapabilities();
    expect(() => {
      capabilities.write(VmxMsr.Basic, 0n);
    }).toThrow(GeneralProtection);
    expect(capabilities.enabled).toBe(false);
    capabilities.write(VmxMsr.FeatureControl, FeatureControl.Locked | FeatureControl.OutsideSmx);
    expect(capabilities.enabled).toBe(true);
    expect(() => {
      capabilities.write(VmxMsr.FeatureControl, 0n);
    }).toThrow(GeneralProtection);
  });
});
