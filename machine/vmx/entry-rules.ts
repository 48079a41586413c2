// What VMLAUNCH and VMRESUME check before they load the guest: controls (SDM 3, 27.2.1) and the host's state (27.2.2 to
// 27.2.4).
import { EventType } from "../guest/events.ts";
import { isPat } from "../msrs.ts";
import { VmxMsr, type VmxCapabilities } from "./capabilities.ts";
import { EVENT_VALID } from "./interruption.ts";
import { EntryControl, ExitControl, Field, Pin, Primary, Secondary, type Vmcs } from "./vmcs.ts";

interface Rule {
  readonly sentence: string;
  readonly broken: (vmcs: Vmcs, capabilities: VmxCapabilities) => boolean;
}

/** The type of MTF exits and of events of FRED, which this processor lacks. */
const OTHER_EVENT = 7;
const LINEAR_BITS = 48;
const PHYSICAL_BITS = 40n;
const CR0_NW_CD = 0x6000_0000n;

export function isCanonical(address: bigint): boolean {
  return BigInt.asUintN(64, BigInt.asIntN(LINEAR_BITS, address)) === address;
}

export function isPhysical(address: bigint): boolean {
  return address >> PHYSICAL_BITS === 0n;
}

function illegalControls(vmcs: Vmcs, capabilities: VmxCapabilities, field: number): boolean {
  const { required, possible } = capabilities.allowed(field);
  const value = vmcs.get32(field);
  return (value & required) !== required || (value & ~possible) !== 0;
}

/** The secondary controls, all 0 unless they are activated. */
export function secondary(vmcs: Vmcs, bits: number): boolean {
  return vmcs.controls(Field.ProcessorBased, Primary.Secondary) && vmcs.controls(Field.Secondary, bits);
}

const isPage = (address: bigint): boolean => isPhysical(address) && (address & 0xfffn) === 0n;

/** 27.2.1.3: what may be injected. */
function illegalInjection(vmcs: Vmcs): boolean {
  const word = vmcs.get(Field.EntryInterruption);
  if (!(word & EVENT_VALID)) return false;
  const type = Number((word >> 8n) & 7n);
  const vector = Number(word & 0xffn);
  const hasError = (word & (1n << 11n)) !== 0n;
  const protectedMode = (vmcs.get(Field.Cr0) & 1n) !== 0n || !secondary(vmcs, Secondary.Unrestricted);
  const withError = type === EventType.Exception && [8, 10, 11, 12, 13, 14, 17].includes(vector) && protectedMode;
  const length = vmcs.get32(Field.EntryInstructionLength);
  return (
    type === 1 ||
    type === OTHER_EVENT ||
    (type === EventType.Nmi && vector !== 2) ||
    (type === EventType.Exception && vector > 31) ||
    hasError !== withError ||
    (word & 0x7fff_f000n) !== 0n ||
    (hasError && vmcs.get32(Field.EntryErrorCode) >>> 16 !== 0) ||
    (type >= EventType.SoftwareInterrupt && (length < 1 || length > 15))
  );
}

/** 27.2.1.1: bits of the EPT pointer. */
function illegalEptPointer(vmcs: Vmcs): boolean {
  const pointer = vmcs.get(Field.EptPointer);
  const type = pointer & 7n;
  const reserved = (pointer & 0xf80n) !== 0n || !isPhysical(pointer);
  return (type !== 0n && type !== 6n) || ((pointer >> 3n) & 7n) !== 3n || reserved;
}

const CONTROL_RULES: readonly Rule[] = [
  ...[Field.PinBased, Field.ProcessorBased, Field.ExitControls, Field.EntryControls].map((field) => ({
    sentence: `controls ${field.toString(16)} are as the capability register allows`,
    broken: (vmcs: Vmcs, capabilities: VmxCapabilities) => illegalControls(vmcs, capabilities, field),
  })),
  {
    sentence: "secondary controls are as the capability register allows",
    broken: (vmcs, capabilities) =>
      vmcs.controls(Field.ProcessorBased, Primary.Secondary) && illegalControls(vmcs, capabilities, Field.Secondary),
  },
  { sentence: "there are at most four CR3 targets", broken: (vmcs) => vmcs.get32(Field.Cr3TargetCount) > 4 },
  {
    sentence: "the I/O bitmaps are pages",
    broken: (vmcs) =>
      vmcs.controls(Field.ProcessorBased, Primary.IoBitmaps) &&
      !(isPage(vmcs.get(Field.IoBitmapA)) && isPage(vmcs.get(Field.IoBitmapB))),
  },
  {
    sentence: "the MSR bitmaps are a page",
    broken: (vmcs) => vmcs.controls(Field.ProcessorBased, Primary.MsrBitmaps) && !isPage(vmcs.get(Field.MsrBitmaps)),
  },
  {
    sentence: "virtual NMIs need NMI exiting",
    broken: (vmcs) => vmcs.controls(Field.PinBased, Pin.VirtualNmis) && !vmcs.controls(Field.PinBased, Pin.Nmi),
  },
  {
    sentence: "NMI-window exiting needs virtual NMIs",
    broken: (vmcs) =>
      vmcs.controls(Field.ProcessorBased, Primary.NmiWindow) && !vmcs.controls(Field.PinBased, Pin.VirtualNmis),
  },
  {
    sentence: "the VPID is not 0",
    broken: (vmcs) => secondary(vmcs, Secondary.Vpid) && vmcs.get(Field.Vpid) === 0n,
  },
  {
    sentence: "the EPT pointer is one",
    broken: (vmcs) => secondary(vmcs, Secondary.Ept) && illegalEptPointer(vmcs),
  },
  {
    sentence: "an unrestricted guest needs EPT",
    broken: (vmcs) => secondary(vmcs, Secondary.Unrestricted) && !secondary(vmcs, Secondary.Ept),
  },
  { sentence: "the event to inject is one", broken: illegalInjection },
];

const HOST_SELECTORS = [0x0c00, 0x0c02, 0x0c04, 0x0c06, 0x0c08, 0x0c0a, 0x0c0c];
const HOST_ADDRESSES = [0x6c06, 0x6c08, 0x6c0a, 0x6c0c, 0x6c0e, 0x6c10, 0x6c12, 0x6c16];

function fixedBits(capabilities: VmxCapabilities, value: bigint, fixed0: number, free = 0n): boolean {
  const required = capabilities.read(fixed0) & ~free;
  return (value & required) === required && (value & ~(capabilities.read(fixed0 + 1) | free)) === 0n;
}

const HOST_RULES: readonly Rule[] = [
  {
    sentence: "CR0 has the bits that VMX operation fixes",
    broken: (vmcs, capabilities) => !fixedBits(capabilities, vmcs.get(Field.HostCr0), VmxMsr.Cr0Fixed0, CR0_NW_CD),
  },
  {
    sentence: "CR4 has the bits that VMX operation fixes",
    broken: (vmcs, capabilities) => !fixedBits(capabilities, vmcs.get(Field.HostCr4), VmxMsr.Cr4Fixed0),
  },
  { sentence: "CR3 is a physical address", broken: (vmcs) => !isPhysical(vmcs.get(Field.HostCr3)) },
  {
    sentence: "bases and entry points are canonical",
    broken: (vmcs) => HOST_ADDRESSES.some((field) => !isCanonical(vmcs.get(field))),
  },
  {
    sentence: "selectors have RPL and TI 0",
    broken: (vmcs) => HOST_SELECTORS.some((field) => (vmcs.get(field) & 7n) !== 0n),
  },
  {
    sentence: "CS and TR are not null",
    broken: (vmcs) => vmcs.get(Field.HostCsSelector) === 0n || vmcs.get(Field.HostTrSelector) === 0n,
  },
  {
    sentence: "a 64-bit host has its exit control, PAE, and a guest of either mode",
    broken: (vmcs) =>
      !vmcs.controls(Field.ExitControls, ExitControl.HostAddressSpace) || (vmcs.get(Field.HostCr4) & (1n << 5n)) === 0n,
  },
  {
    sentence: "EFER.LMA and LME are as the exit control",
    broken: (vmcs) =>
      vmcs.controls(Field.ExitControls, ExitControl.LoadEfer) && (vmcs.get(Field.HostEfer) & 0x500n) !== 0x500n,
  },
  {
    sentence: "every byte of the PAT is a memory type",
    broken: (vmcs) => vmcs.controls(Field.ExitControls, ExitControl.LoadPat) && !isPat(vmcs.get(Field.HostPat)),
  },
];

/** Whether the entry is to a guest in IA-32e mode. */
export function entersLongMode(vmcs: Vmcs): boolean {
  return vmcs.controls(Field.EntryControls, EntryControl.LongMode);
}

/** The first rule for controls that is broken, in words. */
export function entryFault(vmcs: Vmcs, capabilities: VmxCapabilities): string | undefined {
  return CONTROL_RULES.find(({ broken }) => broken(vmcs, capabilities))?.sentence;
}

/** The first rule for the host's state that is broken, in words. */
export function hostFault(vmcs: Vmcs, capabilities: VmxCapabilities): string | undefined {
  return HOST_RULES.find(({ broken }) => broken(vmcs, capabilities))?.sentence;
}
