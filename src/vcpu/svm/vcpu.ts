import { FirmwareContext } from "../../boot/info";
import { clearBreakpoints, cpuid, physOf, physRead64, rdmsr } from "../../metal";
import { scheduler } from "../../threads/scheduler";
import { takePages } from "../../memory/frames";
import { Exception, Rflags, Segment, Vcpu } from "../vcpu";
import { svmFeatures } from "./features";
import { GuestRun } from "./run";
import {
  Event,
  EventType,
  ExitCode,
  Intercept1,
  INTERCEPT_WRITE_CR8,
  SegmentAttribute,
  TableRegister,
  Vmcb,
} from "./vmcb";

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

/** A virtual interrupt of the highest priority, whatever the task priority: only to exit when the guest can take one. */
const INTERRUPT_WINDOW: u64 = (1 << 8) | (15 << 16) | (1 << 20);

/** What INIT leaves in the registers (AMD APM 2, table 14-1). */
const CR0_AFTER_INIT: u64 = 1 << 4;
const CR0_KEPT_BY_INIT: u64 = (1 << 30) | (1 << 29);
const DR6_AFTER_INIT: u64 = 0xffff_0ff0;
const DR7_AFTER_INIT: u64 = 0x400;
const RESET_SELECTOR: u32 = 0xf000;
const RESET_BASE: u64 = 0xffff_0000;
/** Segment attributes in real mode: present, and code, data, LDT or busy TSS. */
const enum Attributes {
  Ldt = 0x82,
  Tss = 0x8b,
  Data = 0x93,
  Code = 0x9b,
}

/**
 * A guest processor under AMD-V. Its general registers are in the run block, all else in its VMCB: RAX, RSP, RIP and RFLAGS
 * too, but from `load` to `store`.
 */
export class SvmVcpu extends Vcpu {
  readonly vmcb: Vmcb;
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
    this.vmcb = changetype<Vmcb>(takePages(1));
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
  injectInterrupt(vector: u32): void {
    this.vmcb.eventInjection = Event.make(EventType.External, vector);
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
    if (soon) vmcb.interceptMisc1 |= Intercept1.Intr | Intercept1.Hlt;
    else vmcb.interceptMisc1 &= ~(this.takesPrivateVectors ? Intercept1.Hlt : Intercept1.Intr | Intercept1.Hlt);
  }
  restart(): void {
    this.load();
  }

  /** After every exit: threads have their turns, and the guest goes on; false if the processor waits instead. */
  @inline finishExit(): bool {
    if (scheduler.hasWork() || this.returnsSoon) this.giveTurns();
    if (this.enter()) return true;
    if (this.returnsSoon) this.kick(); // no interrupt of the guest's will end its wait
    return false;
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
    if (vmcb.eventInjection & Event.VALID || vmcb.interruptShadow & 1) return this.openWindow();
    this.pendingNmi = false;
    this.nmiBlocked = true;
    vmcb.eventInjection = Event.make(EventType.Nmi, 2);
    vmcb.interceptMisc1 |= Intercept1.Iret;
  }

  private openWindow(): void {
    this.vmcb.virtualInterrupt = INTERRUPT_WINDOW;
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

  advanceTo(rip: u64): void {
    const bits = this.codeBits();
    this.registers.rip = bits == 64 ? rip : rip & (bits == 32 ? 0xffff_ffff : 0xffff);
    this.finishInstruction();
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
    for (let segment: u32 = 0; segment <= (Segment.Gs as u32); segment++)
      vmcb.segment(segment).set(0, Attributes.Data, 0xffff, 0);
    vmcb.segment(Segment.Cs).set(RESET_SELECTOR, Attributes.Code, 0xffff, RESET_BASE);
    vmcb.segment(TableRegister.Gdtr).set(0, 0, 0xffff, 0);
    vmcb.segment(TableRegister.Idtr).set(0, 0, 0xffff, 0);
    vmcb.segment(TableRegister.Ldtr).set(0, Attributes.Ldt, 0xffff, 0);
    vmcb.segment(TableRegister.Tr).set(0, Attributes.Tss, 0xffff, 0);
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
    this.vmcb.segment(Segment.Cs).set(vector << 8, Attributes.Code, 0xffff, (vector as u64) << 12);
    this.vmcb.clean = 0;
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
    this.loadSegments(context);
    for (let i = 0; i < SYSTEM_MSRS.length; i++) vmcb.setSystemMsr(i, rdmsr(unchecked(SYSTEM_MSRS[i])));
    this.store();
  }

  private loadSegments(context: FirmwareContext): void {
    const vmcb = this.vmcb;
    this.loadSegment(context, Segment.Es, context.es);
    this.loadSegment(context, Segment.Cs, context.cs);
    this.loadSegment(context, Segment.Ss, context.ss);
    this.loadSegment(context, Segment.Ds, context.ds);
    this.loadSegment(context, Segment.Fs, context.fs);
    this.loadSegment(context, Segment.Gs, context.gs);
    vmcb.segment(Segment.Fs).base = context.fsBase;
    vmcb.segment(Segment.Gs).base = context.gsBase;
    this.loadSegment(context, TableRegister.Ldtr, context.ldtr);
    this.loadSegment(context, TableRegister.Tr, context.tr);
    vmcb.segment(TableRegister.Gdtr).set(0, 0, context.gdtLimit, context.gdtBase);
    vmcb.segment(TableRegister.Idtr).set(0, 0, context.idtLimit, context.idtBase);
    vmcb.cpl = 0;
  }

  /** Fills a segment register's hidden part from the firmware's GDT, as loading the selector did (AMD APM 2, 4.7 and 4.8). */
  private loadSegment(context: FirmwareContext, index: u32, selector: u32): void {
    const segment = this.vmcb.segment(index);
    if (!(selector & ~3)) return segment.set(selector, 0, 0, 0);
    const at = context.gdtBase + ((selector & ~7) as u64);
    const descriptor = physRead64(at);
    let base = ((descriptor >> 16) & 0xff_ffff) | ((descriptor >> 32) & 0xff00_0000);
    if (index >= (TableRegister.Gdtr as u32)) base |= physRead64(at + 8) << 32;
    const attributes = ((descriptor >> 40) & 0xff) | ((descriptor >> 44) & 0xf00);
    let limit = ((descriptor & 0xffff) | ((descriptor >> 32) & 0xf_0000)) as u32;
    if (attributes & (1 << 11)) limit = (limit << 12) | 0xfff; // granularity
    segment.set(selector, attributes as u32, limit, base);
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
