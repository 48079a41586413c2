// States of a guest that break no rule of Intel SDM 3, 27.3.1.
import { EntryControl, Field, Primary, Secondary } from "../../../machine/vmx/vmcs.ts";

/** Fields of a VMCS by their encodings; those that are missing are 0. */
export type Fields = Map<number, bigint>;

export const [CS, SS, DS, LDTR, TR] = [1, 2, 3, 6, 7] as const;
export const selector = (segment: number): number => Field.EsSelector + 2 * segment;
export const limit = (segment: number): number => Field.EsLimit + 2 * segment;
export const rights = (segment: number): number => Field.EsRights + 2 * segment;
export const base = (segment: number): number => Field.EsBase + 2 * segment;

export const UNUSABLE = 1n << 16n;
const LOADS = BigInt(EntryControl.LoadDebug | EntryControl.LoadPat | EntryControl.LoadEfer);

/** Sets a segment register: selector, access rights, limit and base. */
export function setSegment(
  fields: Fields,
  segment: number,
  value: bigint,
  attributes: bigint,
  end: bigint,
  at = 0n,
): void {
  fields.set(selector(segment), value).set(rights(segment), attributes).set(limit(segment), end).set(base(segment), at);
}

/** A kernel in 64-bit mode. */
export function longMode(): Fields {
  const fields: Fields = new Map([
    [Field.ProcessorBased, BigInt(Primary.Secondary >>> 0)],
    [Field.Secondary, BigInt(Secondary.Unrestricted | Secondary.Ept)],
    [Field.EntryControls, LOADS | BigInt(EntryControl.LongMode)],
    [Field.Cr0, 0x8005_0033n],
    [Field.Cr3, 0x12_3000n],
    [Field.Cr4, 0x2620n],
    [Field.Efer, 0xd01n],
    [Field.Pat, 0x0007_0406_0007_0406n],
    [Field.LinkPointer, 0xffff_ffff_ffff_ffffn],
    [Field.Dr7, 0x400n],
    [Field.Rip, 0xffff_ffff_8000_0000n],
    [Field.Rflags, 0x202n],
    [Field.GdtrLimit, 0x7fn],
    [Field.IdtrLimit, 0xfffn],
  ]);
  for (const segment of [0, SS, DS, 4, 5]) setSegment(fields, segment, 0x18n, 0xc093n, 0xffff_ffffn);
  setSegment(fields, CS, 0x10n, 0xa09bn, 0xffff_ffffn);
  setSegment(fields, LDTR, 0n, UNUSABLE, 0n);
  setSegment(fields, TR, 0x40n, 0x8bn, 0x67n, 0xffff_8000_0000_0000n);
  return fields;
}

/** After a start-up interrupt. */
export function realMode(): Fields {
  const fields = longMode();
  fields.set(Field.EntryControls, LOADS).set(Field.Rip, 0n).set(Field.Rflags, 2n);
  fields.set(Field.Cr0, 0x6000_0030n).set(Field.Cr3, 0n).set(Field.Cr4, 0x2000n).set(Field.Efer, 0n);
  for (const segment of [0, SS, DS, 4, 5]) setSegment(fields, segment, 0n, 0x93n, 0xffffn);
  setSegment(fields, CS, 0x9900n, 0x9bn, 0xffffn, 0x9_9000n);
  setSegment(fields, LDTR, 0n, 0x82n, 0xffffn);
  setSegment(fields, TR, 0n, 0x8bn, 0xffffn);
  return fields;
}

/** A DOS program in virtual-8086 mode. */
export function virtual8086(): Fields {
  const fields = realMode().set(Field.Cr0, 0x33n).set(Field.Rflags, 0x2_0202n);
  for (const segment of [0, CS, SS, DS, 4, 5]) setSegment(fields, segment, 0x1234n, 0xf3n, 0xffffn, 0x1_2340n);
  return fields;
}
