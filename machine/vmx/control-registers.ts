// What the processor itself checks and does when a guest under VT-x writes CR0, CR4 or IA32_EFER without an exit (SDM 3,
// 2.5, 4.1, 10.8.5, 25.6.6 and 26.3).
import { GeneralProtection } from "../msrs.ts";
import { type VmxCapabilities, VmxMsr } from "./capabilities.ts";
import { secondary } from "./entry-rules.ts";
import { Field, Secondary, type Vmcs } from "./vmcs.ts";

const PE = 1n;
const PG = 1n << 31n;
const NW = 1n << 29n;
const CD = 1n << 30n;
const PAE = 1n << 5n;
const LME = 1n << 8n;
const LMA = 1n << 10n;
/** SCE, LME, LMA and NXE. */
const EFER_BITS = 0xd01n;
const CR0_BITS = 0xe005_003fn;

/** Watched bits stay; so do those that VMX operation fixes, for only what leaves them is allowed. */
export function setCr0(vmcs: Vmcs, capabilities: VmxCapabilities, value: bigint): void {
  const watched = vmcs.get(Field.Cr0Mask);
  const next = (vmcs.get(Field.Cr0) & watched) | (value & ~watched & CR0_BITS);
  const free = secondary(vmcs, Secondary.Unrestricted) ? PE | PG : 0n;
  const required = capabilities.read(VmxMsr.Cr0Fixed0) & ~free;
  const efer = vmcs.get(Field.Efer);
  const startsLongMode = (next & PG) !== 0n && (efer & LME) !== 0n;
  if (value >> 32n || (next & required) !== required) throw new GeneralProtection();
  if ((next & PG && !(next & PE)) || (next & NW && !(next & CD))) throw new GeneralProtection();
  if (startsLongMode && !(vmcs.get(Field.Cr4) & PAE)) throw new GeneralProtection();
  vmcs.set(Field.Cr0, next);
  vmcs.set(Field.Efer, startsLongMode ? efer | LMA : efer & ~LMA);
}

export function setCr4(vmcs: Vmcs, capabilities: VmxCapabilities, value: bigint): void {
  const watched = vmcs.get(Field.Cr4Mask);
  const next = (vmcs.get(Field.Cr4) & watched) | (value & ~watched);
  const required = capabilities.read(VmxMsr.Cr4Fixed0);
  const possible = capabilities.read(VmxMsr.Cr4Fixed1);
  if ((next & required) !== required || (next & ~possible) !== 0n) throw new GeneralProtection();
  if (vmcs.get(Field.Efer) & LMA && !(next & PAE)) throw new GeneralProtection();
  vmcs.set(Field.Cr4, next);
}

/** LMA is the processor's own; LME stays while paging is on. */
export function setEfer(vmcs: Vmcs, value: bigint): void {
  const old = vmcs.get(Field.Efer);
  if (value & ~EFER_BITS) throw new GeneralProtection();
  if (vmcs.get(Field.Cr0) & PG && (old ^ value) & LME) throw new GeneralProtection();
  vmcs.set(Field.Efer, (value & ~LMA) | (old & LMA));
}
