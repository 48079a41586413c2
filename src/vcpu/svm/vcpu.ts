import { FirmwareContext } from "../../boot/info";
import { clearBreakpoints, cpuid, physOf, rdmsr } from "../../metal";
import { takePages } from "../../memory/frames";
import { Exception, Rflags, Segment, Vcpu } from "../vcpu";
import { Event, EventType } from "./event";
import { ExitCode } from "./exit-codes";
import { svmFeatures } from "./features";
import { GuestRun } from "./run";
import { VmcbSegments } from "./segments";
import { Intercept1, Intercept2, INTERCEPT_WRITE_CR8, SegmentAttribute, Vmcb } from "./vmcb";

export const EFER_SVME: u64 = 1 << 12;
const CR0_PE: u64 = 1 << 0;
const DR6_BS: u64 = 1 << 14;

/** The MSRs that VMLOAD and VMSAVE move, in the order of the save area from 600h on. */
const SYSTEM_MSRS: StaticArray<u32> = [
  0xc000_0081, // STAR
  0xc000_0082, // LSTAR
  0xc000_0083, // CSTAR
  0xc000_0084, // SFMASK
  0xc000_0102, // KernelGsBase
  0x174, // SYSENTER_CS
  0x175, // SYSENTER_ESP
  0x176, // SYSENTER_EIP
];
const MSR_PAT: u32 = 0x277;

const V_IRQ: u64 = 1 << 8;
const V_INTR_VECTOR_SHIFT: u64 = 32;
/** A virtual interrupt of the highest priority, whatever the task priority. */
const VIRTUAL_INTERRUPT: u64 = V_IRQ | (15 << 16) | (1 << 20);

/** What INIT leaves in the registers (AMD APM 2, table 14-1). */
const CR0_AFTER_INIT: u64 = 1 << 4;
const CR0_KEPT_BY_INIT: u64 = (1 << 30) | (1 << 29);
const DR6_AFTER_INIT: u64 = 0xffff_0ff0;
const DR7_AFTER_INIT: u64 = 0x400;

/**
 * A guest processor under AMD-V. Its general registers are in the run block, all else in its VMCB: RAX, RSP, RIP and RFLAGS
 * too, but from `load` to `store`.
 */
export class SvmVcpu extends Vcpu {
  readonly vmcb: Vmcb;
  private readonly segments: VmcbSegments;
  /** The guest handles an NMI: the next waits for its IRET. */
  private nmiBlocked: bool = false;
  private taskPriorityNoted: bool = false;
  /** It has come to that IRET, which lies at `nmiReturn`. */
  private nmiReturning: bool = false;
  private nmiReturn: u64 = 0;

  constructor(
    readonly run: GuestRun,
    index: u32,
  ) {
    super(run, index);
    const vmcb = changetype<Vmcb>(takePages(1));
    this.vmcb = vmcb;
    this.segments = new VmcbSegments(vmcb);
    run.guestVmcb = physOf(changetype<usize>(this.vmcb));
    run.hostVmcb = physOf(takePages(1));
    run.vcpu = changetype<usize>(this);
  }

  scratch(): usize {
    return changetype<usize>(this.run) + offsetof<GuestRun>("scratch0");
  }
  cr0(): u64 {
    return this.vmcb.cr0;
  }
  cr3(): u64 {
    return this.vmcb.cr3;
  }
  cr4OnProcessor(): u64 {
    return this.vmcb.cr4;
  }
  cr4(): u64 {
    return this.vmcb.cr4;
  }
  efer(): u64 {
    return this.vmcb.efer;
  }
  cpl(): u32 {
    return this.vmcb.cpl;
  }
  codeBits(): u32 {
    if (this.vmcb.in64BitMode()) return 64;
    const attributes = this.vmcb.segment(Segment.Cs).attributes as u32;
    const protectedMode = (this.vmcb.cr0 & CR0_PE) != 0 && !((this.registers.rflags as u32) & Rflags.Vm);
    return protectedMode && attributes & SegmentAttribute.Default ? 32 : 16;
  }
  segmentBase(segment: Segment): u64 {
    if (segment < Segment.Fs && this.codeBits() == 64) return 0;
    return this.vmcb.segment(segment).base;
  }
  segmentLimit(segment: Segment): u32 {
    return this.vmcb.segment(segment).limit;
  }
  segmentSelector(segment: Segment): u32 {
    return this.vmcb.segment(segment).selector;
  }
  segmentAttributes(segment: Segment): u32 {
    return this.vmcb.segment(segment).attributes;
  }
  setCr2(value: u64): void {
    this.vmcb.cr2 = value;
  }
  notedBytes(to: usize): u32 {
    const vmcb = this.vmcb;
    if (!svmFeatures.decodeAssists || vmcb.exitCode != ExitCode.NestedPageFault) return 0;
    memory.copy(to, vmcb.fetchedBytes, 16);
    return vmcb.fetchedCount;
  }
  raise(exception: Exception): void {
    this.vmcb.eventInjection = Event.make(EventType.Exception, exception);
  }
  raiseWithError(exception: Exception, error: u32): void {
    this.vmcb.eventInjection = Event.withError(Event.make(EventType.Exception, exception), error);
  }
  /**
   * As a virtual interrupt, which the guest takes before its next instruction, as it would take an injected one: but QEMU
   * may give it an injected one twice (docs/learned.md).
   */
  injectInterrupt(vector: u32): void {
    const vmcb = this.vmcb;
    if (vmcb.interceptMisc1 & Intercept1.Vintr) vmcb.eventInjection = Event.make(EventType.External, vector);
    else vmcb.virtualInterrupt = VIRTUAL_INTERRUPT | ((vector as u64) << V_INTR_VECTOR_SHIFT);
  }
  /**
   * At an exit that may have come before the guest took its virtual interrupt: then that is injected. True if so. One whose
   * delivery the exit has interrupted is injected already.
   */
  takeBackInterrupt(): bool {
    const vmcb = this.vmcb;
    const virtual = vmcb.virtualInterrupt;
    if (!(virtual & V_IRQ) || vmcb.interceptMisc1 & Intercept1.Vintr) return false;
    vmcb.virtualInterrupt = 0;
    if (vmcb.eventInjection & Event.VALID) return false;
    vmcb.eventInjection = Event.make(EventType.External, (virtual >> V_INTR_VECTOR_SHIFT) as u32);
    return true;
  }
  handlesNmi(): bool {
    return this.nmiBlocked;
  }
  forgetTranslations(): void {
    this.vmcb.tlbControl = svmFeatures.flush;
  }
  interceptInterrupts(): void {
    this.vmcb.interceptMisc1 |= Intercept1.Intr;
    if (this.index == 0 && !this.taskPriorityNoted) this.vmcb.interceptControl = INTERCEPT_WRITE_CR8;
  }
  /** MOV to CR8 has told all that it can: from now on it goes straight to the local APIC. */
  passTaskPriority(): void {
    this.taskPriorityNoted = true;
    this.vmcb.interceptControl = 0;
  }
  returnSoon(soon: bool): void {
    const vmcb = this.vmcb;
    const others = vmcb.interceptMisc1 & ~(Intercept1.Intr | Intercept1.Hlt);
    vmcb.interceptMisc1 = others | (this.wantsInterrupts ? Intercept1.Intr : 0) | (soon ? Intercept1.Hlt : 0);
    if (soon) vmcb.interceptMisc2 |= Intercept2.Mwait;
    else vmcb.interceptMisc2 &= ~Intercept2.Mwait;
  }
  restart(): void {
    this.load();
  }

  @inline enter(): bool {
    if (!this.enterGuest()) return false;
    if (this.pendingNmi) this.offerNmi();
    return true;
  }

  /** Gives the guest a waiting NMI, or sees to it that an exit comes when it can take one: before an entry. */
  private offerNmi(): void {
    const vmcb = this.vmcb;
    if (this.nmiBlocked && !this.hasReturned()) return;
    this.takeBackInterrupt(); // the NMI would come before it
    if (vmcb.eventInjection & Event.VALID || vmcb.interruptShadow & 1) return this.openWindow();
    this.pendingNmi = false;
    this.nmiBlocked = true;
    vmcb.eventInjection = Event.make(EventType.Nmi, 2);
    vmcb.interceptMisc1 |= Intercept1.Iret;
  }

  /** An exit comes when the guest can take an interrupt, which is all that this virtual one is for. */
  private openWindow(): void {
    this.takeBackInterrupt();
    this.vmcb.virtualInterrupt = VIRTUAL_INTERRUPT;
    this.vmcb.interceptMisc1 |= Intercept1.Vintr;
  }

  private closeWindow(): void {
    this.vmcb.virtualInterrupt = 0;
    this.vmcb.interceptMisc1 &= ~Intercept1.Vintr;
  }

  /** The guest is about to return from its NMI handler. */
  endNmi(): void {
    this.vmcb.interceptMisc1 &= ~Intercept1.Iret;
    this.nmiReturning = true;
    this.nmiReturn = this.registers.rip;
  }

  /**
   * Whether the NMI handler's IRET has been carried out. As long as the guest is at it, a next NMI would run on the stack
   * that the IRET still needs: it comes when the guest can be interrupted.
   */
  private hasReturned(): bool {
    if (!this.nmiReturning) return false;
    if (this.registers.rip == this.nmiReturn) {
      this.openWindow();
      return false;
    }
    this.unblockNmi();
    return true;
  }

  private unblockNmi(): void {
    this.nmiBlocked = false;
    this.nmiReturning = false;
  }

  /** The guest can be interrupted. One whose NMI handler has turned interrupts on is given a next NMI even at its IRET. */
  windowOpened(): void {
    this.closeWindow();
    if (this.nmiReturning) this.unblockNmi();
  }

  finishInstruction(): void {
    this.vmcb.interruptShadow = 0;
    this.registers.rflags &= ~(Rflags.Rf as u64);
    if (!((this.registers.rflags as u32) & Rflags.Tf)) return;
    this.vmcb.dr6 |= DR6_BS;
    this.raise(Exception.Debug);
  }

  reset(): void {
    const signature = memory.data(32, 8); // the same on every processor
    cpuid(1, 0, signature);
    this.registers.reset(load<u32>(signature));
    const vmcb = this.vmcb;
    vmcb.cr0 = CR0_AFTER_INIT | (vmcb.cr0 & CR0_KEPT_BY_INIT);
    vmcb.cr2 = vmcb.cr3 = vmcb.cr4 = 0;
    vmcb.efer = EFER_SVME;
    vmcb.dr6 = DR6_AFTER_INIT;
    vmcb.dr7 = DR7_AFTER_INIT;
    clearBreakpoints();
    this.segments.reset();
    vmcb.cpl = 0;
    vmcb.clean = 0;
    vmcb.eventInjection = 0;
    vmcb.interruptShadow = 0;
    this.unblockNmi();
    this.closeWindow();
    vmcb.interceptMisc1 &= ~Intercept1.Iret;
    this.forgetTranslations();
    this.store();
  }

  startAt(vector: u32): void {
    this.vmcb.rip = 0;
    this.segments.startAt(vector);
  }

  /** Sets the guest up as the firmware was when it called, with the call returning `status`. */
  resumeFirmware(context: FirmwareContext, status: u64): void {
    this.registers.resumeFirmware(context, status);
    const vmcb = this.vmcb;
    vmcb.cr0 = context.cr0;
    vmcb.cr3 = context.cr3;
    vmcb.cr4 = context.cr4;
    vmcb.efer = context.efer | EFER_SVME;
    vmcb.dr6 = DR6_AFTER_INIT;
    vmcb.dr7 = DR7_AFTER_INIT;
    vmcb.guestPat = rdmsr(MSR_PAT);
    this.segments.loadFirmware(context);
    vmcb.cpl = 0;
    for (let i = 0; i < SYSTEM_MSRS.length; i++) vmcb.setSystemMsr(i, rdmsr(unchecked(SYSTEM_MSRS[i])));
    this.store();
  }

  /** What VMRUN left in the VMCB goes to the registers: for most exits. */
  @inline load(): void {
    const vmcb = this.vmcb;
    const registers = this.registers;
    registers.rax = vmcb.rax;
    registers.rsp = vmcb.rsp;
    registers.rip = vmcb.rip;
    registers.rflags = vmcb.rflags;
  }

  /** And back, when the exit has been answered. */
  @inline store(): void {
    const vmcb = this.vmcb;
    const registers = this.registers;
    vmcb.rax = registers.rax;
    vmcb.rsp = registers.rsp;
    vmcb.rip = registers.rip;
    vmcb.rflags = registers.rflags;
  }
}
