import { vmread, vmwrite } from "../../metal";
import { SegmentRegisters, SystemSegment } from "../segments";
import { AccessRights, Field, segmentField } from "./vmcs";

const BUSY_TSS: u32 = 0x8b;
const TSS_LIMIT: u32 = 0xffff;

/** `ofEs` is the field of ES; `index` counts ES, CS, SS, DS, FS, GS, LDTR, TR. */
export function readSegment(ofEs: Field, index: u32): u64 {
  return vmread(segmentField(ofEs, index));
}

/** The segment and table registers in the current VMCS. */
export class VmcsSegments extends SegmentRegisters {
  set(index: u32, selector: u32, attributes: u32, limit: u32, base: u64): void {
    write(index, selector, (attributes & 0xff) | ((attributes & 0xf00) << 4), limit, base);
  }
  /** VMX operation wants a task register, which firmware mostly has none of: nothing uses it before the guest loads its own. */
  setNull(index: u32, selector: u32): void {
    if (index == SystemSegment.Tr) write(index, 0, BUSY_TSS, TSS_LIMIT, 0);
    else write(index, selector, AccessRights.Unusable, 0, 0);
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
