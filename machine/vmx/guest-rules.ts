// The rules for a guest's state at an entry: SDM 3, 27.3.1.
import { EventType } from "../guest/events.ts";
import { isPat } from "../msrs.ts";
import { VmxMsr, type VmxCapabilities } from "./capabilities.ts";
import { entersLongMode, isCanonical, isPhysical, secondary } from "./entry-rules.ts";
import { EVENT_VALID } from "./interruption.ts";
import { segmentFault } from "./segment-rules.ts";
import { Blocking, EntryControl, Field, Pin, Secondary, type Vmcs } from "./vmcs.ts";

interface Rule {
  readonly field: number;
  readonly broken: (vmcs: Vmcs, capabilities: VmxCapabilities) => boolean;
}

const PE = 1n;
const PG = 1n << 31n;
const WP = 1n << 16n;
const NW_CD = 0x6000_0000n;
const PAE = 1n << 5n;
const PCIDE = 1n << 17n;
const CET = 1n << 23n;
const EFER_BITS = 0xd01n;
const LMA = 1n << 10n;
const LME = 1n << 8n;
const Rflags = { One: 1n << 1n, Tf: 1n << 8n, If: 1n << 9n, Vm: 1n << 17n } as const;
const HLT = 1n;
const BS = 1n << 14n;
const NO_LINK = 0xffff_ffff_ffff_ffffn;

/** The bits of `ranges`, each the highest and the lowest of a stretch. */
function reserved(...ranges: readonly (readonly [number, number])[]): bigint {
  return ranges.reduce((mask, [high, low]) => mask | (((1n << BigInt(high - low + 1)) - 1n) << BigInt(low)), 0n);
}
const RFLAGS_RESERVED = reserved([63, 22], [15, 15], [5, 5], [3, 3]);
const PENDING_RESERVED = reserved([63, 17], [15, 15], [13, 13], [11, 4]);
const DEBUGCTL_RESERVED = reserved([63, 16], [5, 3]);
const PDPTE_RESERVED = reserved([8, 5], [2, 1]);

const loads = (vmcs: Vmcs, control: number): boolean => vmcs.controls(Field.EntryControls, control);
const pages = (vmcs: Vmcs): boolean => (vmcs.get(Field.Cr0) & PG) !== 0n;
const has = (vmcs: Vmcs, field: number, bits: bigint): boolean => (vmcs.get(field) & bits) !== 0n;

/** The type of the event to inject. */
function injected(vmcs: Vmcs): number | undefined {
  const word = vmcs.get(Field.EntryInterruption);
  return word & EVENT_VALID ? Number((word >> 8n) & 7n) : undefined;
}

function shadow(vmcs: Vmcs): boolean {
  return vmcs.controls(Field.Interruptibility, Blocking.Sti | Blocking.MovSs);
}

/** 27.3.1.1: with an unrestricted guest PE and PG are free; NW and CD always are. */
function cr0IsWrong(vmcs: Vmcs, capabilities: VmxCapabilities): boolean {
  const cr0 = vmcs.get(Field.Cr0);
  const free = NW_CD | (secondary(vmcs, Secondary.Unrestricted) ? PE | PG : 0n);
  const required = capabilities.read(VmxMsr.Cr0Fixed0) & ~free;
  const forbidden = ~capabilities.read(VmxMsr.Cr0Fixed1) & ~NW_CD & 0xffff_ffff_ffff_ffffn;
  return (cr0 & required) !== required || (cr0 & forbidden) !== 0n || ((cr0 & PG) !== 0n && (cr0 & PE) === 0n);
}

function cr4IsWrong(vmcs: Vmcs, capabilities: VmxCapabilities): boolean {
  const cr4 = vmcs.get(Field.Cr4);
  const required = capabilities.read(VmxMsr.Cr4Fixed0);
  const possible = capabilities.read(VmxMsr.Cr4Fixed1);
  return (
    (cr4 & required) !== required ||
    (cr4 & ~possible) !== 0n ||
    (has(vmcs, Field.Cr4, CET) && !has(vmcs, Field.Cr0, WP))
  );
}

function pdpteIsWrong(vmcs: Vmcs, field: number): boolean {
  const pae = pages(vmcs) && has(vmcs, Field.Cr4, PAE) && !entersLongMode(vmcs) && secondary(vmcs, Secondary.Ept);
  const entry = vmcs.get(field);
  return pae && (entry & 1n) !== 0n && ((entry & PDPTE_RESERVED) !== 0n || !isPhysical(entry));
}

function ripIsWrong(vmcs: Vmcs): boolean {
  const rip = vmcs.get(Field.Rip);
  const in64Bit = entersLongMode(vmcs) && has(vmcs, Field.CsRights, 1n << 13n);
  return in64Bit ? !isCanonical(rip) : rip >> 32n !== 0n;
}

function activityIsWrong(vmcs: Vmcs, capabilities: VmxCapabilities): boolean {
  const state = vmcs.get(Field.Activity);
  const supported = (capabilities.read(VmxMsr.Misc) >> 6n) & 7n;
  if (state === 0n) return false;
  if (state > 3n || !((supported >> (state - 1n)) & 1n)) return true;
  if (shadow(vmcs)) return true;
  if (state === HLT) return has(vmcs, Field.SsRights, 0x60n);
  return injected(vmcs) !== undefined;
}

/** 27.3.1.5. */
function interruptibilityIsWrong(vmcs: Vmcs): boolean {
  const state = vmcs.get(Field.Interruptibility);
  const is = (bit: number): boolean => (state & BigInt(bit)) !== 0n;
  const event = injected(vmcs);
  return (
    state >> 5n !== 0n ||
    (is(Blocking.Sti) && is(Blocking.MovSs)) ||
    (is(Blocking.Sti) && !has(vmcs, Field.Rflags, Rflags.If)) ||
    (event === EventType.External && shadow(vmcs)) ||
    (event === EventType.Nmi && is(Blocking.MovSs)) ||
    is(Blocking.Smi) ||
    (event === EventType.Nmi && is(Blocking.Nmi) && vmcs.controls(Field.PinBased, Pin.VirtualNmis))
  );
}

function pendingIsWrong(vmcs: Vmcs): boolean {
  const pending = vmcs.get(Field.PendingDebug);
  if (pending & PENDING_RESERVED) return true;
  if (!shadow(vmcs) && vmcs.get(Field.Activity) !== HLT) return false;
  const branches = has(vmcs, Field.Debugctl, 1n << 1n);
  return ((pending & BS) !== 0n) !== (has(vmcs, Field.Rflags, Rflags.Tf) && !branches);
}

const RULES: readonly Rule[] = [
  { field: Field.Cr0, broken: cr0IsWrong },
  { field: Field.Cr4, broken: cr4IsWrong },
  { field: Field.Cr0, broken: (vmcs) => entersLongMode(vmcs) && !pages(vmcs) },
  { field: Field.Cr4, broken: (vmcs) => entersLongMode(vmcs) && !has(vmcs, Field.Cr4, PAE) },
  { field: Field.Cr4, broken: (vmcs) => !entersLongMode(vmcs) && has(vmcs, Field.Cr4, PCIDE) },
  { field: Field.Cr3, broken: (vmcs) => !isPhysical(vmcs.get(Field.Cr3)) },
  ...[0, 1, 2, 3].map((i) => ({
    field: Field.Pdpte0 + 2 * i,
    broken: (vmcs: Vmcs) => pdpteIsWrong(vmcs, Field.Pdpte0 + 2 * i),
  })),
  {
    field: Field.Debugctl,
    broken: (vmcs) => loads(vmcs, EntryControl.LoadDebug) && has(vmcs, Field.Debugctl, DEBUGCTL_RESERVED),
  },
  { field: Field.Dr7, broken: (vmcs) => loads(vmcs, EntryControl.LoadDebug) && vmcs.get(Field.Dr7) >> 32n !== 0n },
  { field: Field.Pat, broken: (vmcs) => loads(vmcs, EntryControl.LoadPat) && !isPat(vmcs.get(Field.Pat)) },
  {
    field: Field.Efer,
    broken: (vmcs) => {
      if (!loads(vmcs, EntryControl.LoadEfer)) return false;
      const active = has(vmcs, Field.Efer, LMA);
      const enabled = has(vmcs, Field.Efer, LME);
      const unknown = (vmcs.get(Field.Efer) & ~EFER_BITS) !== 0n;
      return unknown || active !== entersLongMode(vmcs) || (pages(vmcs) && active !== enabled);
    },
  },
  ...[Field.SysenterEsp, Field.SysenterEip].map((field) => ({
    field,
    broken: (vmcs: Vmcs) => !isCanonical(vmcs.get(field)),
  })),
  { field: Field.Rip, broken: ripIsWrong },
  {
    field: Field.Rflags,
    broken: (vmcs) => has(vmcs, Field.Rflags, RFLAGS_RESERVED) || !has(vmcs, Field.Rflags, Rflags.One),
  },
  {
    field: Field.Rflags,
    broken: (vmcs) => has(vmcs, Field.Rflags, Rflags.Vm) && (entersLongMode(vmcs) || !has(vmcs, Field.Cr0, PE)),
  },
  {
    field: Field.Rflags,
    broken: (vmcs) => injected(vmcs) === EventType.External && !has(vmcs, Field.Rflags, Rflags.If),
  },
];

const LATER_RULES: readonly Rule[] = [
  ...[Field.GdtrBase, Field.IdtrBase].map((field) => ({
    field,
    broken: (vmcs: Vmcs) => !isCanonical(vmcs.get(field)),
  })),
  ...[Field.GdtrLimit, Field.IdtrLimit].map((field) => ({
    field,
    broken: (vmcs: Vmcs) => vmcs.get(field) >> 16n !== 0n,
  })),
  { field: Field.Activity, broken: activityIsWrong },
  { field: Field.Interruptibility, broken: interruptibilityIsWrong },
  { field: Field.PendingDebug, broken: pendingIsWrong },
  {
    field: Field.LinkPointer,
    broken: (vmcs) => {
      const link = vmcs.get(Field.LinkPointer);
      return link !== NO_LINK && ((link & 0xfffn) !== 0n || !isPhysical(link));
    },
  },
];

/** The field to blame for the first rule that the guest's state breaks; undefined if it may run. */
export function guestFault(vmcs: Vmcs, capabilities: VmxCapabilities): number | undefined {
  const first = (rules: readonly Rule[]): number | undefined =>
    rules.find(({ broken }) => broken(vmcs, capabilities))?.field;
  return first(RULES) ?? segmentFault(vmcs) ?? first(LATER_RULES);
}
