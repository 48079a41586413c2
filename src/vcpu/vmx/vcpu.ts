import { FirmwareContext } from "../../boot/info";
import { clearBreakpoints, cpuid, physOf, rdmsr, setCr2, vmclear, vmptrld, vmread, vmwrite } from "../../metal";
import { takePages } from "../../memory/frames";
import { Exception, Rflags, Segment, Vcpu } from "../vcpu";
import { revision } from "./capabilities";
import { controlRegisters } from "./control-registers";
import { readSegment, VmcsSegments } from "./segments";
import {
  AccessRights,
  ActivityState,
  EntryControl,
  Field,
  Interruptibility,
  InterruptionType,
  PinBased,
  ProcessorBased,
} from "./vmcs";
import { Interruption } from "./interruption";
import { translations } from "./translations";
import { VmxRun } from "./run";

const EFER_LMA: u64 = 1 << 10;
const CR0_PE: u64 = 1 << 0;
const RFLAGS_VM: u64 = 1 << 17;
/** In the pending debug exceptions: a single step (Intel SDM 3, table 25-4). */
const PENDING_BS: u64 = 1 << 14;
/** STI or MOV SS holds interrupts back for one instruction. */
export const SHADOW: u64 = Interruptibility.BlockingBySti | Interruptibility.BlockingByMovSs;

/** What INIT leaves in the registers (Intel SDM 3, table 10-1). */
const CR0_AFTER_INIT: u64 = 1 << 4;
const CR0_KEPT_BY_INIT: u64 = (1 << 30) | (1 << 29);
const DR7_AFTER_INIT: u64 = 0x400;
const MSR_PAT: u32 = 0x277;
const MSR_SYSENTER_CS: u32 = 0x174;
const MSR_SYSENTER_ESP: u32 = 0x175;
const MSR_SYSENTER_EIP: u32 = 0x176;

/** A guest processor under VT-x. Its general registers are in the run block, all else in its VMCS, which is the current one. */
export class VmxVcpu extends Vcpu {
  private readonly vmcs: u64;
  private readonly segments: VmcsSegments = new VmcsSegments();
  private staleTranslations: bool = true;
  /** An external interrupt waits until the guest can take it. */
  private awaitsWindow: bool = false;
  private taskPriorityNoted: bool = false;

  constructor(
    readonly run: VmxRun,
    index: u32,
  ) {
    super(run, index);
    const region = takePages(1);
    store<u32>(region, revision());
    this.vmcs = physOf(region);
    run.vcpu = changetype<usize>(this);
  }

  /** Makes its VMCS the current one of the processor that this runs on. */
  makeCurrent(): bool {
    return vmclear(this.vmcs) && vmptrld(this.vmcs);
  }

  scratch(): usize {
    return changetype<usize>(this.run) + offsetof<VmxRun>("scratch0");
  }
  cr0(): u64 {
    const mask = controlRegisters.cr0Mask;
    return (vmread(Field.GuestCr0) & ~mask) | (vmread(Field.Cr0ReadShadow) & mask);
  }
  cr3(): u64 {
    return vmread(Field.GuestCr3);
  }
  cr4OnProcessor(): u64 {
    return vmread(Field.GuestCr4);
  }
  cr4(): u64 {
    const mask = controlRegisters.cr4Mask;
    return (vmread(Field.GuestCr4) & ~mask) | (vmread(Field.Cr4ReadShadow) & mask);
  }
  efer(): u64 {
    return vmread(Field.GuestEfer);
  }
  cpl(): u32 {
    return (this.rights(Segment.Ss) >> 5) & 3;
  }
  codeBits(): u32 {
    if (this.in64BitMode()) return 64;
    const protectedMode = (vmread(Field.GuestCr0) & CR0_PE) != 0 && !(this.registers.rflags & RFLAGS_VM);
    return protectedMode && this.rights(Segment.Cs) & AccessRights.Default ? 32 : 16;
  }
  segmentBase(segment: Segment): u64 {
    if (segment < Segment.Fs && this.in64BitMode()) return 0;
    return readSegment(Field.GuestEsBase, segment);
  }
  segmentLimit(segment: Segment): u32 {
    return readSegment(Field.GuestEsLimit, segment) as u32;
  }
  segmentSelector(segment: Segment): u32 {
    return readSegment(Field.GuestEsSelector, segment) as u32;
  }
  segmentAttributes(segment: Segment): u32 {
    const rights = this.rights(segment);
    return (rights & 0xff) | ((rights >> 4) & 0xf00);
  }
  private rights(segment: u32): u32 {
    return readSegment(Field.GuestEsAccessRights, segment) as u32;
  }
  /** Whether the guest runs in 64-bit mode. */
  in64BitMode(): bool {
    return (vmread(Field.GuestEfer) & EFER_LMA) != 0 && (this.rights(Segment.Cs) & AccessRights.Long) != 0;
  }
  /** VT-x notes none. */
  notedBytes(_to: usize): u32 {
    return 0;
  }
  /** VM entries and exits leave CR2 as it is. */
  setCr2(value: u64): void {
    setCr2(value);
  }

  raise(exception: Exception): void {
    vmwrite(Field.EntryInterruptionInformation, Interruption.make(InterruptionType.HardwareException, exception));
  }
  raiseWithError(exception: Exception, error: u32): void {
    const event = Interruption.make(InterruptionType.HardwareException, exception) | Interruption.ERROR_VALID;
    vmwrite(Field.EntryExceptionErrorCode, error);
    // No error codes in real mode (Intel SDM 3, 27.2.1.3).
    vmwrite(
      Field.EntryInterruptionInformation,
      vmread(Field.GuestCr0) & CR0_PE ? event : event & ~Interruption.ERROR_VALID,
    );
  }
  injectInterrupt(vector: u32): void {
    vmwrite(Field.EntryInterruptionInformation, Interruption.make(InterruptionType.External, vector));
  }
  handlesNmi(): bool {
    return (vmread(Field.GuestInterruptibility) & Interruptibility.BlockingByNmi) != 0;
  }
  forgetTranslations(): void {
    this.staleTranslations = true;
  }
  interceptInterrupts(): void {
    this.chooseInterruptExiting();
    if (this.index == 0 && !this.taskPriorityNoted)
      setControl(Field.ProcessorBasedControls, ProcessorBased.Cr8LoadExiting, true);
  }
  /** MOV to CR8 has told all that it can: from now on it goes straight to the local APIC. */
  passTaskPriority(): void {
    this.taskPriorityNoted = true;
    setControl(Field.ProcessorBasedControls, ProcessorBased.Cr8LoadExiting, false);
  }
  returnSoon(soon: bool): void {
    setControl(Field.ProcessorBasedControls, ProcessorBased.HltExiting | ProcessorBased.MwaitExiting, soon);
    this.chooseInterruptExiting();
  }
  /** Interrupts end the guest's run where there is a use for it: but not one that waits for the guest, which it would stop. */
  private chooseInterruptExiting(): void {
    const exits = this.wantsInterrupts && !this.awaitsWindow;
    setControl(Field.PinBasedControls, PinBased.ExternalInterruptExiting, exits);
  }
  restart(): void {
    this.load();
  }

  enter(): bool {
    if (!this.enterGuest()) return false;
    if (this.pendingNmi) this.offerNmi();
    if (this.staleTranslations) {
      this.staleTranslations = false;
      translations.forget();
    }
    return true;
  }

  /** Gives the guest a waiting NMI, or sees to it that an exit comes when it can take one. */
  private offerNmi(): void {
    const blocking = vmread(Field.GuestInterruptibility) as u32;
    // An NMI window may open at once in the shadow of STI, in which no NMI may be injected: an interrupt window opens after it
    if (blocking & Interruptibility.BlockingBySti)
      return setControl(Field.ProcessorBasedControls, ProcessorBased.InterruptWindowExiting, true);
    if (blocking & (Interruptibility.BlockingByMovSs | Interruptibility.BlockingByNmi) || this.eventPends())
      return setControl(Field.ProcessorBasedControls, ProcessorBased.NmiWindowExiting, true);
    this.pendingNmi = false;
    vmwrite(Field.EntryInterruptionInformation, Interruption.make(InterruptionType.Nmi, 2));
  }
  nmiWindowOpened(): void {
    setControl(Field.ProcessorBasedControls, ProcessorBased.NmiWindowExiting, false);
  }

  /** The exit interrupted an IRET that had already ended the blocking of NMIs, and will be run again (Intel SDM 3, 28.2.3). */
  blockNmis(): void {
    vmwrite(Field.GuestInterruptibility, vmread(Field.GuestInterruptibility) | (Interruptibility.BlockingByNmi as u64));
  }

  /** Whether the guest could be given an external interrupt now. */
  isInterruptible(): bool {
    return (
      (this.registers.rflags & Rflags.If) != 0 && !(vmread(Field.GuestInterruptibility) & SHADOW) && !this.eventPends()
    );
  }
  /** An external interrupt waits that the guest cannot take: it is left to the local APIC until the guest can. */
  awaitInterruptWindow(): void {
    this.awaitsWindow = true;
    setControl(Field.ProcessorBasedControls, ProcessorBased.InterruptWindowExiting, true);
    this.chooseInterruptExiting();
  }
  interruptWindowOpened(): void {
    this.awaitsWindow = false;
    setControl(Field.ProcessorBasedControls, ProcessorBased.InterruptWindowExiting, false);
    this.chooseInterruptExiting();
  }
  /** Whether the next entry delivers an event. */
  eventPends(): bool {
    return ((vmread(Field.EntryInterruptionInformation) as u32) & Interruption.VALID) != 0;
  }

  finishInstruction(): void {
    const interruptibility = vmread(Field.GuestInterruptibility);
    if (interruptibility & SHADOW) vmwrite(Field.GuestInterruptibility, interruptibility & ~SHADOW);
    this.registers.rflags &= ~(Rflags.Rf as u64);
    if ((this.registers.rflags as u32) & Rflags.Tf) vmwrite(Field.GuestPendingDebugExceptions, PENDING_BS);
  }

  reset(): void {
    const signature = this.scratch();
    cpuid(1, 0, signature);
    this.registers.reset(load<u32>(signature));
    const kept = this.cr0() & CR0_KEPT_BY_INIT;
    vmwrite(Field.GuestEfer, 0);
    setControl(Field.EntryControls, EntryControl.Ia32eModeGuest, false);
    controlRegisters.setCr0(CR0_AFTER_INIT | kept);
    controlRegisters.setCr4(0);
    setCr2(0);
    vmwrite(Field.GuestCr3, 0);
    vmwrite(Field.GuestDr7, DR7_AFTER_INIT);
    clearBreakpoints();
    this.segments.reset();
    vmwrite(Field.EntryInterruptionInformation, 0);
    vmwrite(Field.GuestInterruptibility, 0);
    vmwrite(Field.GuestActivityState, ActivityState.Active); // it may have been halted
    vmwrite(Field.GuestPendingDebugExceptions, 0);
    this.nmiWindowOpened();
    this.interruptWindowOpened();
    this.forgetTranslations();
    this.store();
  }

  startAt(vector: u32): void {
    vmwrite(Field.GuestRip, 0);
    this.registers.rip = 0;
    this.segments.startAt(vector);
  }

  /** Sets the guest up as the firmware was when it called, with the call returning `status`. */
  resumeFirmware(context: FirmwareContext, status: u64): void {
    this.registers.resumeFirmware(context, status);
    controlRegisters.setCr0(context.cr0);
    controlRegisters.setCr4(context.cr4);
    vmwrite(Field.GuestCr3, context.cr3);
    vmwrite(Field.GuestEfer, context.efer);
    setControl(Field.EntryControls, EntryControl.Ia32eModeGuest, (context.efer & EFER_LMA) != 0);
    vmwrite(Field.GuestDr7, DR7_AFTER_INIT);
    vmwrite(Field.GuestPat, rdmsr(MSR_PAT));
    vmwrite(Field.GuestSysenterCs, rdmsr(MSR_SYSENTER_CS));
    vmwrite(Field.GuestSysenterEsp, rdmsr(MSR_SYSENTER_ESP));
    vmwrite(Field.GuestSysenterEip, rdmsr(MSR_SYSENTER_EIP));
    this.segments.loadFirmware(context);
    this.store();
  }

  /** What is in the VMCS goes to the registers: for most exits. */
  load(): void {
    const registers = this.registers;
    registers.rsp = vmread(Field.GuestRsp);
    registers.rip = vmread(Field.GuestRip);
    registers.rflags = vmread(Field.GuestRflags);
  }

  /** And back, when the exit has been answered. */
  store(): void {
    const registers = this.registers;
    vmwrite(Field.GuestRsp, registers.rsp);
    vmwrite(Field.GuestRip, registers.rip);
    vmwrite(Field.GuestRflags, registers.rflags);
  }
}

function setControl(field: Field, bits: u32, on: bool): void {
  const old = vmread(field) as u32;
  vmwrite(field, on ? old | bits : old & ~bits);
}
