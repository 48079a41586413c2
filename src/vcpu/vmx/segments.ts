import { vmread, vmwrite } from "../../metal";
import { Field, segmentField } from "./vmcs";

/** The access rights that INIT leaves (Intel SDM 3, table 10-1). */
export const enum ResetRights {
  Ldt = 0x82,
  /** A busy TSS. */
  Tss = 0x8b,
  Data = 0x93,
  Code = 0x9b,
}

/** `ofEs` is the field of ES; `index` counts ES, CS, SS, DS, FS, GS, LDTR, TR. */
export function readSegment(ofEs: Field, index: u32): u64 {
  return vmread(segmentField(ofEs, index));
}

export function writeSegment(index: u32, selector: u32, rights: u32, limit: u32, base: u64): void {
  vmwrite(segmentField(Field.GuestEsSelector, index), selector);
  vmwrite(segmentField(Field.GuestEsAccessRights, index), rights);
  vmwrite(segmentField(Field.GuestEsLimit, index), limit);
  vmwrite(segmentField(Field.GuestEsBase, index), base);
}

/** A descriptor's rights: its bits 47:40 in 7:0 and 55:52 in 15:12. */
export function descriptorRights(descriptor: u64): u32 {
  return ((descriptor >> 40) & 0xf0ff) as u32;
}
