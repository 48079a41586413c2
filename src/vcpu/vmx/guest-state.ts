import { Rflags } from "../vcpu";
import { GuestSegments } from "./guest-segments";
import { FieldReader, Finding, StateLimits } from "./state-rules";
import {
  AccessRights,
  ActivityState,
  EntryControl,
  Field,
  Interruptibility,
  InterruptionType,
  PinBased,
  Secondary,
} from "./vmcs";

const CR0_PE: u64 = 1 << 0;
const CR0_WP: u64 = 1 << 16;
/** NW and CD, which are never checked. */
const CR0_CACHING: u64 = (1 << 29) | (1 << 30);
const CR0_PG: u64 = 1 << 31;
const CR4_PAE: u64 = 1 << 5;
const CR4_PCIDE: u64 = 1 << 17;
const CR4_CET: u64 = 1 << 23;
const EFER_LME: u64 = 1 << 8;
const EFER_LMA: u64 = 1 << 10;
const DEBUGCTL_BTF: u64 = 1 << 1;
/** Bits 15:6 and 2:0; the others are reserved (Intel SDM 4, IA32_DEBUGCTL). */
const DEBUGCTL_BITS: u64 = 0xffc7;
/** Bits 63:22, 15, 5 and 3; bit 1 is always 1. */
const RFLAGS_ZERO: u64 = ~(0x3f_7fd7 as u64);
const RFLAGS_ONE: u64 = 1 << 1;
/** Bits 63:17, 15, 13 and 11:4 (Intel SDM 3, table 25-4). */
const PENDING_ZERO: u64 = ~(0x1_500f as u64);
const PENDING_BS: u64 = 1 << 14;
const PDPTE_PRESENT: u64 = 1 << 0;
const PDPTE_ZERO: u64 = 0x1e6;
const NO_LINK: u64 = ~0;
const INTERRUPTION_VALID: u32 = 1 << 31;
const INTERRUPTION_NONE: u32 = 0xff;

/**
 * The rules for a guest's state (Intel SDM 3, 27.3.1), for saying what is wrong after the processor has refused an entry,
 * which it does without a word. State that Sheer does not use (PERF_GLOBAL_CTRL, BNDCFGS, SMM, CET) is left out.
 */
export class GuestState {
  readonly finding: Finding;
  private readonly segments: GuestSegments;

  constructor(
    private readonly vmcs: FieldReader,
    private readonly limits: StateLimits,
  ) {
    const finding = new Finding();
    this.finding = finding;
    this.segments = new GuestSegments(vmcs, limits, finding);
  }

  /** Whether all rules hold; if not, `finding` names a field and the rule that it breaks. */
  holds(): bool {
    return (
      this.controlRegisters() &&
      this.pageTables() &&
      this.registers() &&
      this.instruction() &&
      this.segments.hold() &&
      this.tables() &&
      this.activity() &&
      this.interruptibility() &&
      this.pendingExceptions() &&
      this.link()
    );
  }

  private controlRegisters(): bool {
    const cr0 = this.vmcs.read(Field.GuestCr0);
    const cr4 = this.vmcs.read(Field.GuestCr4);
    const limits = this.limits;
    const free = this.unrestricted() ? CR0_PE | CR0_PG : 0;
    const missing = limits.cr0Fixed0 & ~(free | CR0_CACHING) & ~cr0;
    const paging = (cr0 & CR0_PG) != 0;
    return (
      this.require(!missing, Field.GuestCr0, "bits that IA32_VMX_CR0_FIXED0 has are 1") &&
      this.require(
        !(cr0 & ~(limits.cr0Fixed1 | CR0_CACHING)),
        Field.GuestCr0,
        "bits that IA32_VMX_CR0_FIXED1 lacks are 0",
      ) &&
      this.require(!paging || (cr0 & CR0_PE) != 0, Field.GuestCr0, "with PG there is PE") &&
      this.require(!(limits.cr4Fixed0 & ~cr4), Field.GuestCr4, "bits that IA32_VMX_CR4_FIXED0 has are 1") &&
      this.require(!(cr4 & ~limits.cr4Fixed1), Field.GuestCr4, "bits that IA32_VMX_CR4_FIXED1 lacks are 0") &&
      this.require(!(cr4 & CR4_CET) || (cr0 & CR0_WP) != 0, Field.GuestCr4, "CET needs CR0.WP") &&
      this.require(!this.longMode() || paging, Field.GuestCr0, "PG is 1 in IA-32e mode") &&
      this.require(!this.longMode() || (cr4 & CR4_PAE) != 0, Field.GuestCr4, "PAE is 1 in IA-32e mode") &&
      this.require(this.longMode() || !(cr4 & CR4_PCIDE), Field.GuestCr4, "PCIDE is 0 outside IA-32e mode") &&
      this.require(
        limits.isPhysical(this.vmcs.read(Field.GuestCr3)),
        Field.GuestCr3,
        "it is no wider than physical addresses",
      )
    );
  }

  /** PAE paging keeps its four entries in the VMCS (27.3.1.6). */
  private pageTables(): bool {
    const pae = (this.vmcs.read(Field.GuestCr4) & CR4_PAE) != 0 && (this.vmcs.read(Field.GuestCr0) & CR0_PG) != 0;
    if (!pae || this.longMode() || !((this.vmcs.read(Field.SecondaryControls) as u32) & Secondary.EnableEpt))
      return true;
    for (let i: u32 = 0; i < 4; i++) {
      const field = ((Field.GuestPdpte0 as u32) + 2 * i) as Field;
      const entry = this.vmcs.read(field);
      const fits = !(entry & PDPTE_ZERO) && this.limits.isPhysical(entry);
      if (!this.require(!(entry & PDPTE_PRESENT) || fits, field, "reserved bits are 0 if it is present")) return false;
    }
    return true;
  }

  private registers(): bool {
    const entry = this.vmcs.read(Field.EntryControls) as u32;
    if (entry & EntryControl.LoadDebugControls) {
      const debugctl = this.vmcs.read(Field.GuestDebugctl);
      if (!this.require(!(debugctl & ~DEBUGCTL_BITS), Field.GuestDebugctl, "reserved bits are 0")) return false;
      if (!this.require(this.vmcs.read(Field.GuestDr7) >> 32 == 0, Field.GuestDr7, "bits 63:32 are 0")) return false;
    }
    if (entry & EntryControl.LoadPat && !this.pat()) return false;
    if (entry & EntryControl.LoadEfer && !this.efer()) return false;
    return this.canonical(Field.GuestSysenterEsp) && this.canonical(Field.GuestSysenterEip);
  }

  private pat(): bool {
    let types = this.vmcs.read(Field.GuestPat);
    for (let i = 0; i < 8; i++, types >>= 8) {
      const type = (types & 0xff) as u32;
      const known = type <= 1 || (type >= 4 && type <= 7);
      if (!this.require(known, Field.GuestPat, "every byte is a memory type: 0, 1 or 4 to 7")) return false;
    }
    return true;
  }

  private efer(): bool {
    const efer = this.vmcs.read(Field.GuestEfer);
    const active = (efer & EFER_LMA) != 0;
    const paging = (this.vmcs.read(Field.GuestCr0) & CR0_PG) != 0;
    return (
      this.require(!(efer & ~this.limits.efer), Field.GuestEfer, "bits that the processor lacks are 0") &&
      this.require(active == this.longMode(), Field.GuestEfer, 'LMA is as the entry control "IA-32e mode guest"') &&
      this.require(!paging || active == ((efer & EFER_LME) != 0), Field.GuestEfer, "with paging LMA is LME")
    );
  }

  private tables(): bool {
    return (
      this.canonical(Field.GuestGdtrBase) &&
      this.canonical(Field.GuestIdtrBase) &&
      this.require(this.vmcs.read(Field.GuestGdtrLimit) >> 16 == 0, Field.GuestGdtrLimit, "bits 31:16 are 0") &&
      this.require(this.vmcs.read(Field.GuestIdtrLimit) >> 16 == 0, Field.GuestIdtrLimit, "bits 31:16 are 0")
    );
  }

  private instruction(): bool {
    const rip = this.vmcs.read(Field.GuestRip);
    const rflags = this.vmcs.read(Field.GuestRflags);
    const wide = this.longMode() && (this.vmcs.read(Field.GuestCsAccessRights) & AccessRights.Long) != 0;
    const protectedMode = (this.vmcs.read(Field.GuestCr0) & CR0_PE) != 0;
    const mayBeVirtual = protectedMode && !this.longMode();
    return (
      this.require(wide || rip >> 32 == 0, Field.GuestRip, "bits 63:32 are 0 outside 64-bit mode") &&
      this.require(!wide || this.limits.isCanonical(rip), Field.GuestRip, "it is canonical") &&
      this.require(!(rflags & RFLAGS_ZERO), Field.GuestRflags, "bits 63:22, 15, 5 and 3 are 0") &&
      this.require((rflags & RFLAGS_ONE) != 0, Field.GuestRflags, "bit 1 is 1") &&
      this.require(
        !(rflags & Rflags.Vm) || mayBeVirtual,
        Field.GuestRflags,
        "VM is 0 in real mode and in IA-32e mode",
      ) &&
      this.require(
        this.injected() != InterruptionType.External || (rflags & Rflags.If) != 0,
        Field.GuestRflags,
        "IF is 1 if an external interrupt is injected",
      )
    );
  }

  private activity(): bool {
    const state = this.vmcs.read(Field.GuestActivityState) as u32;
    const stackRights = this.vmcs.read(Field.GuestSsAccessRights) as u32;
    const blocking = this.vmcs.read(Field.GuestInterruptibility) as u32;
    const known =
      state == ActivityState.Active ||
      (state <= (ActivityState.WaitForSipi as u32) && ((this.limits.activityStates >> (state - 1)) & 1) != 0);
    const privileged = ((stackRights >> 5) & 3) == 0;
    const shadow = (blocking & (Interruptibility.BlockingBySti | Interruptibility.BlockingByMovSs)) != 0;
    return (
      this.require(known, Field.GuestActivityState, "it is one that the processor has") &&
      this.require(state != ActivityState.Hlt || privileged, Field.GuestActivityState, "HLT needs DPL 0 of SS") &&
      this.require(
        state == ActivityState.Active || !shadow,
        Field.GuestActivityState,
        "it is active while STI or MOV SS blocks",
      ) &&
      this.require(
        this.injected() == INTERRUPTION_NONE || state <= (ActivityState.Hlt as u32),
        Field.GuestActivityState,
        "nothing is injected in shutdown or wait-for-SIPI",
      )
    );
  }

  private interruptibility(): bool {
    const state = this.vmcs.read(Field.GuestInterruptibility) as u32;
    const sti = (state & Interruptibility.BlockingBySti) != 0;
    const movSs = (state & Interruptibility.BlockingByMovSs) != 0;
    const enabled = (this.vmcs.read(Field.GuestRflags) & Rflags.If) != 0;
    const injected = this.injected();
    const virtualNmis = ((this.vmcs.read(Field.PinBasedControls) as u32) & PinBased.VirtualNmis) != 0;
    const blocked = virtualNmis && (state & Interruptibility.BlockingByNmi) != 0;
    const field = Field.GuestInterruptibility;
    return (
      this.require(state >> 5 == 0, field, "bits 31:5 are 0") &&
      this.require(!(sti && movSs), field, "STI and MOV SS do not both block") &&
      this.require(!sti || enabled, field, "STI blocks only with RFLAGS.IF") &&
      this.require(
        injected != InterruptionType.External || !(sti || movSs),
        field,
        "nothing blocks an injected interrupt",
      ) &&
      this.require(injected != InterruptionType.Nmi || !movSs, field, "MOV SS does not block an injected NMI") &&
      this.require(!(state & Interruptibility.BlockingBySmi), field, "SMIs are blocked only in SMM") &&
      this.require(injected != InterruptionType.Nmi || !blocked, field, "no NMI blocks an injected NMI")
    );
  }

  private pendingExceptions(): bool {
    const pending = this.vmcs.read(Field.GuestPendingDebugExceptions);
    const field = Field.GuestPendingDebugExceptions;
    if (!this.require(!(pending & PENDING_ZERO), field, "reserved bits are 0")) return false;
    const blocking = this.vmcs.read(Field.GuestInterruptibility) as u32;
    const shadow = (blocking & (Interruptibility.BlockingBySti | Interruptibility.BlockingByMovSs)) != 0;
    if (!shadow && this.vmcs.read(Field.GuestActivityState) != ActivityState.Hlt) return true;
    const single = (this.vmcs.read(Field.GuestRflags) & Rflags.Tf) != 0;
    const steps = single && !(this.vmcs.read(Field.GuestDebugctl) & DEBUGCTL_BTF);
    return this.require(steps == ((pending & PENDING_BS) != 0), field, "BS is as RFLAGS.TF, without BTF");
  }

  private link(): bool {
    const link = this.vmcs.read(Field.VmcsLinkPointer);
    const fits = link == NO_LINK || (!(link & 0xfff) && this.limits.isPhysical(link));
    return this.require(fits, Field.VmcsLinkPointer, "it is all ones or a page");
  }

  private unrestricted(): bool {
    return ((this.vmcs.read(Field.SecondaryControls) as u32) & Secondary.UnrestrictedGuest) != 0;
  }

  private longMode(): bool {
    return ((this.vmcs.read(Field.EntryControls) as u32) & EntryControl.Ia32eModeGuest) != 0;
  }

  /** The type of the event that the entry injects, or INTERRUPTION_NONE. */
  private injected(): u32 {
    const information = this.vmcs.read(Field.EntryInterruptionInformation) as u32;
    return information & INTERRUPTION_VALID ? (information >> 8) & 7 : INTERRUPTION_NONE;
  }

  private canonical(field: Field): bool {
    return this.require(this.limits.isCanonical(this.vmcs.read(field)), field, "it is canonical");
  }

  @inline private require(holds: bool, field: Field, rule: string): bool {
    return this.finding.require(holds, field, rule);
  }
}
