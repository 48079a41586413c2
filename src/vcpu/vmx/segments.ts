import { vmread, vmwrite } from "../../metal";
import { SegmentRegisters } from "../segments";
import { AccessRights, Field, segmentField } from "./vmcs";

/** `ofEs` is the field of ES; `index` counts ES, CS, SS, DS, FS, GS, LDTR, TR. */
export function readSegment(ofEs: Field, index: u32): u64 {
  return vmread(segmentField(ofEs, index));
}

/** The segment and table registers in the current VMCS. */
export class VmcsSegments extends SegmentRegisters {
  set(index: u32, selector: u32, attributes: u32, limit: u32, base: u64): void {
    write(index, selector, (attributes & 0xff) | ((attributes & 0xf00) << 4), limit, base);
  }
  setNull(index: u32, selector: u32): void {
    write(index, selector, AccessRights.Unusable, 0, 0);
  }
  setBase(index: u32, base: u64): void {
    vmwrite(segmentField(Field.GuestEsBase, index), base);
  }
  setTables(gdtBase: u64, gdtLimit: u32, idtBase: u64, idtLimit: u32): void {
    vmwrite(Field.GuestGdtrBase, gdtBase);
    vmwrite(Field.GuestGdtrLimit, gdtLimit);
    vmwrite(Field.GuestIdtrBase, idtBase);
    vmwrite(Field.GuestIdtrLimit, idtLimit);
  }
}

function write(index: u32, selector: u32, rights: u32, limit: u32, base: u64): void {
  vmwrite(segmentField(Field.GuestEsSelector, index), selector);
  vmwrite(segmentField(Field.GuestEsAccessRights, index), rights);
  vmwrite(segmentField(Field.GuestEsLimit, index), limit);
  vmwrite(segmentField(Field.GuestEsBase, index), base);
}
