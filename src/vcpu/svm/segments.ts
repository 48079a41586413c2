import { SegmentRegisters, SystemSegment } from "../segments";
import { Vmcb } from "./vmcb";

/** Save-area slots behind the six segment registers of Segment. */
const enum Slot {
  Gdtr = 6,
  Ldtr = 7,
  Idtr = 8,
  Tr = 9,
}

/** The segment and table registers in a VMCB. */
export class VmcbSegments extends SegmentRegisters {
  constructor(private readonly vmcb: Vmcb) {
    super();
  }

  set(index: u32, selector: u32, attributes: u32, limit: u32, base: u64): void {
    this.vmcb.segment(slotOf(index)).set(selector, attributes, limit, base);
    this.vmcb.clean = 0;
  }
  setNull(index: u32, selector: u32): void {
    this.set(index, selector, 0, 0, 0);
  }
  setBase(index: u32, base: u64): void {
    this.vmcb.segment(index).base = base;
    this.vmcb.clean = 0;
  }
  setTables(gdtBase: u64, gdtLimit: u32, idtBase: u64, idtLimit: u32): void {
    this.vmcb.segment(Slot.Gdtr).set(0, 0, gdtLimit, gdtBase);
    this.vmcb.segment(Slot.Idtr).set(0, 0, idtLimit, idtBase);
    this.vmcb.clean = 0;
  }
}

function slotOf(index: u32): u32 {
  if (index == SystemSegment.Ldtr) return Slot.Ldtr;
  return index == SystemSegment.Tr ? Slot.Tr : index;
}
