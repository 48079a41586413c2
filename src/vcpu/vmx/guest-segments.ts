import { SystemSegment } from "../segments";
import { Rflags, Segment } from "../vcpu";
import { FieldReader, Finding, StateLimits } from "./state-rules";
import { AccessRights, EntryControl, Field, Secondary, segmentField } from "./vmcs";

const SELECTOR_TI: u64 = 1 << 2;
const SELECTOR_RPL: u64 = 3;
const CR0_PE: u64 = 1 << 0;
/** Access rights 31:17 and 11:8. */
const RESERVED: u32 = 0xfffe_0f00;
const VIRTUAL_8086_RIGHTS: u32 = 0xf3;

/** Segment types (Intel SDM 3, tables 3-1 and 3-2). */
const enum Type {
  Accessed = 1 << 0,
  /** Of data: may be written. Of code: may be read. */
  Usable = 1 << 1,
  /** Of data: expands down. Of code: conforming. */
  Special = 1 << 2,
  Code = 1 << 3,
  Ldt = 2,
  BusyTss16 = 3,
  WritableData = 3,
  BusyTss = 11,
}

/** The rules for segment registers (Intel SDM 3, 27.3.1.2). */
export class GuestSegments {
  private unrestricted: bool = false;
  private longMode: bool = false;

  constructor(
    private readonly vmcs: FieldReader,
    private readonly limits: StateLimits,
    private readonly finding: Finding,
  ) {}

  hold(): bool {
    const vmcs = this.vmcs;
    this.unrestricted = ((vmcs.read(Field.SecondaryControls) as u32) & Secondary.UnrestrictedGuest) != 0;
    this.longMode = ((vmcs.read(Field.EntryControls) as u32) & EntryControl.Ia32eModeGuest) != 0;
    if (((vmcs.read(Field.GuestRflags) as u32) & Rflags.Vm) != 0) {
      for (let i: u32 = Segment.Es; i <= (Segment.Gs as u32); i++) if (!this.virtual8086(i)) return false;
    } else {
      if (!this.stackSelector() || !this.code() || !this.stack()) return false;
      for (let i: u32 = Segment.Es; i <= (Segment.Gs as u32); i++) {
        if (i == (Segment.Cs as u32) || i == (Segment.Ss as u32)) continue;
        if (!this.data(i)) return false;
      }
    }
    return this.task() && this.localTable();
  }

  private virtual8086(segment: u32): bool {
    const base = (this.selector(segment) << 4) as u64;
    return (
      this.base(segment, this.baseOf(segment) == base, "in virtual-8086 mode it is the selector times 16") &&
      this.finding.require(
        this.limitOf(segment) == 0xffff,
        segmentField(Field.GuestEsLimit, segment),
        "in virtual-8086 mode it is FFFFh",
      ) &&
      this.rights(segment, this.rightsOf(segment) == VIRTUAL_8086_RIGHTS, "in virtual-8086 mode they are F3h")
    );
  }

  private stackSelector(): bool {
    if (this.unrestricted) return true;
    const same = ((this.selector(Segment.Ss) ^ this.selector(Segment.Cs)) & SELECTOR_RPL) == 0;
    return this.finding.require(same, Field.GuestSsSelector, "its RPL is that of CS");
  }

  private code(): bool {
    const rights = this.rightsOf(Segment.Cs);
    const type = rights & AccessRights.Type;
    const isCode = (type & (Type.Code | Type.Accessed)) == (Type.Code | Type.Accessed);
    const isData = type == Type.WritableData;
    const dpl = privilege(rights);
    const stackDpl = privilege(this.rightsOf(Segment.Ss));
    const allowed = isData ? dpl == 0 : type & Type.Special ? dpl <= stackDpl : dpl == stackDpl;
    const both = (rights & AccessRights.Long) != 0 && (rights & AccessRights.Default) != 0;
    return (
      this.base(Segment.Cs, this.baseOf(Segment.Cs) >> 32 == 0, "bits 63:32 are 0") &&
      this.rights(Segment.Cs, isCode || (isData && this.unrestricted), "the type is accessed code") &&
      this.codeOrData(Segment.Cs, rights) &&
      this.rights(Segment.Cs, allowed, "the DPL fits that of SS") &&
      this.rights(Segment.Cs, !(this.longMode && both), "L and D are not both set in IA-32e mode")
    );
  }

  private stack(): bool {
    const rights = this.rightsOf(Segment.Ss);
    const dpl = privilege(rights);
    const codeIsData = (this.rightsOf(Segment.Cs) & AccessRights.Type) == Type.WritableData;
    const real = (this.vmcs.read(Field.GuestCr0) & CR0_PE) == 0;
    const sameAsRpl = dpl == ((this.selector(Segment.Ss) & SELECTOR_RPL) as u32);
    const highest = dpl == 0 || !(codeIsData || real);
    if (!this.rights(Segment.Ss, this.unrestricted || sameAsRpl, "the DPL is the selector's RPL")) return false;
    if (!this.rights(Segment.Ss, highest, "the DPL is 0 in real mode, or if CS is data")) return false;
    if (rights & AccessRights.Unusable) return true;
    const type = rights & AccessRights.Type;
    return (
      this.base(Segment.Ss, this.baseOf(Segment.Ss) >> 32 == 0, "bits 63:32 are 0") &&
      this.rights(Segment.Ss, (type & ~Type.Special) == Type.WritableData, "the type is accessed data to be written") &&
      this.codeOrData(Segment.Ss, rights)
    );
  }

  private data(segment: u32): bool {
    const based = segment >= (Segment.Fs as u32);
    if (based && !this.base(segment, this.limits.isCanonical(this.baseOf(segment)), "it is canonical")) return false;
    const rights = this.rightsOf(segment);
    if (rights & AccessRights.Unusable) return true;
    const type = rights & AccessRights.Type;
    const readable = !(type & Type.Code) || (type & Type.Usable) != 0;
    const conforming = (type & (Type.Code | Type.Special)) == (Type.Code | Type.Special);
    const allowed =
      this.unrestricted || conforming || privilege(rights) >= ((this.selector(segment) & SELECTOR_RPL) as u32);
    return (
      this.base(segment, based || this.baseOf(segment) >> 32 == 0, "bits 63:32 are 0") &&
      this.rights(segment, (type & Type.Accessed) != 0 && readable, "the type is accessed and to be read") &&
      this.codeOrData(segment, rights) &&
      this.rights(segment, allowed, "the DPL is not less than the selector's RPL")
    );
  }

  private task(): bool {
    const rights = this.rightsOf(SystemSegment.Tr);
    const type = rights & AccessRights.Type;
    const busy = type == Type.BusyTss || (type == Type.BusyTss16 && !this.longMode);
    return (
      this.finding.require(!(this.selector(SystemSegment.Tr) & SELECTOR_TI), Field.GuestTrSelector, "TI is 0") &&
      this.base(SystemSegment.Tr, this.limits.isCanonical(this.baseOf(SystemSegment.Tr)), "it is canonical") &&
      this.rights(SystemSegment.Tr, !(rights & AccessRights.Unusable), "the register is usable") &&
      this.rights(SystemSegment.Tr, busy, "the type is a busy TSS") &&
      this.system(SystemSegment.Tr, rights)
    );
  }

  private localTable(): bool {
    const rights = this.rightsOf(SystemSegment.Ldtr);
    if (rights & AccessRights.Unusable) return true;
    return (
      this.finding.require(!(this.selector(SystemSegment.Ldtr) & SELECTOR_TI), Field.GuestLdtrSelector, "TI is 0") &&
      this.base(SystemSegment.Ldtr, this.limits.isCanonical(this.baseOf(SystemSegment.Ldtr)), "it is canonical") &&
      this.rights(SystemSegment.Ldtr, (rights & AccessRights.Type) == Type.Ldt, "the type is an LDT") &&
      this.system(SystemSegment.Ldtr, rights)
    );
  }

  private codeOrData(segment: u32, rights: u32): bool {
    return this.rights(segment, (rights & AccessRights.CodeOrData) != 0, "S is 1") && this.present(segment, rights);
  }

  private system(segment: u32, rights: u32): bool {
    return this.rights(segment, !(rights & AccessRights.CodeOrData), "S is 0") && this.present(segment, rights);
  }

  /** What holds for every usable register. */
  private present(segment: u32, rights: u32): bool {
    const limit = this.limitOf(segment);
    const pages = (rights & AccessRights.Granularity) != 0;
    const granular = pages ? (limit & 0xfff) == 0xfff : limit >> 20 == 0;
    return (
      this.rights(segment, (rights & AccessRights.Present) != 0, "P is 1") &&
      this.rights(segment, !(rights & RESERVED), "bits 31:17 and 11:8 are 0") &&
      this.rights(segment, granular, "G fits the limit")
    );
  }

  private base(segment: u32, holds: bool, rule: string): bool {
    return this.finding.require(holds, segmentField(Field.GuestEsBase, segment), rule);
  }
  private rights(segment: u32, holds: bool, rule: string): bool {
    return this.finding.require(holds, segmentField(Field.GuestEsAccessRights, segment), rule);
  }
  private selector(segment: u32): u64 {
    return this.vmcs.read(segmentField(Field.GuestEsSelector, segment));
  }
  private baseOf(segment: u32): u64 {
    return this.vmcs.read(segmentField(Field.GuestEsBase, segment));
  }
  private limitOf(segment: u32): u32 {
    return this.vmcs.read(segmentField(Field.GuestEsLimit, segment)) as u32;
  }
  private rightsOf(segment: u32): u32 {
    return this.vmcs.read(segmentField(Field.GuestEsAccessRights, segment)) as u32;
  }
}

function privilege(rights: u32): u32 {
  return (rights >> 5) & 3;
}
