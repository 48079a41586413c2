import { BootInfo } from "../../boot/info";
import { physOf, physRead64, rdmsr } from "../../metal";
import { takePages } from "../../memory/frames";
import { Exception, Rflags, Segment, Vcpu } from "../vcpu";
import { GuestRun } from "./run";
import { Event, EventType, SegmentAttribute, TableRegister, Vmcb } from "./vmcb";

export const EFER_SVME: u64 = 1 << 12;
const EFER_LMA: u64 = 1 << 10;
const CR0_PE: u64 = 1 << 0;
const DR6_BS: u64 = 1 << 14;
const RFLAGS_VM: u64 = 1 << 17;

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
const MSR_FS_BASE: u32 = 0xc000_0100;
const MSR_GS_BASE: u32 = 0xc000_0101;

/** A guest processor under AMD-V. Its registers are in the run block from exit to entry, all else in its VMCB. */
export class SvmVcpu extends Vcpu {
  readonly vmcb: Vmcb;

  constructor(readonly run: GuestRun) {
    super(run.registers);
    this.vmcb = changetype<Vmcb>(takePages(1));
    run.guestVmcb = physOf(changetype<usize>(this.vmcb));
    run.hostVmcb = physOf(takePages(1));
    run.vcpu = changetype<usize>(this);
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
    const attributes = this.vmcb.segment(Segment.Cs).attributes as u32;
    if (this.longMode() && attributes & SegmentAttribute.Long) return 64;
    const protectedMode = (this.vmcb.cr0 & CR0_PE) != 0 && !(this.registers.rflags & RFLAGS_VM);
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
  raise(exception: Exception): void {
    this.vmcb.eventInjection = Event.make(EventType.Exception, exception);
  }
  raiseWithError(exception: Exception, error: u32): void {
    this.vmcb.eventInjection = Event.withError(Event.make(EventType.Exception, exception), error);
  }
  injectInterrupt(vector: u32): void {
    this.vmcb.eventInjection = Event.make(EventType.External, vector);
  }
  injectNmi(): void {
    this.vmcb.eventInjection = Event.make(EventType.Nmi, 2);
  }

  longMode(): bool {
    return (this.vmcb.efer & EFER_LMA) != 0;
  }

  /** Moves RIP past an instruction that has been carried out. */
  advanceTo(rip: u64): void {
    const bits = this.codeBits();
    this.registers.rip = bits == 64 ? rip : rip & (bits == 32 ? 0xffff_ffff : 0xffff);
    this.finishInstruction();
  }

  /** What the end of an instruction does: it clears RF, ends the shadow of STI or MOV SS, and traps if TF is set. */
  finishInstruction(): void {
    this.vmcb.interruptShadow = 0;
    this.registers.rflags &= ~(Rflags.Rf as u64);
    if (!((this.registers.rflags as u32) & Rflags.Tf)) return;
    this.vmcb.dr6 |= DR6_BS;
    this.raise(Exception.Debug);
  }

  /** Sets the guest up as the firmware was when it called, with the call returning `status`. */
  resumeFirmware(info: BootInfo, status: u64): void {
    const registers = this.registers;
    registers.rax = status;
    registers.rbx = info.rbx;
    registers.rbp = info.rbp;
    registers.rsi = info.rsi;
    registers.rdi = info.rdi;
    registers.r12 = info.r12;
    registers.r13 = info.r13;
    registers.r14 = info.r14;
    registers.r15 = info.r15;
    registers.rip = physRead64(info.rsp);
    registers.rsp = info.rsp + 8;
    registers.rflags = info.rflags;
    const vmcb = this.vmcb;
    vmcb.cr0 = info.cr0;
    vmcb.cr3 = info.cr3;
    vmcb.cr4 = info.cr4;
    vmcb.efer = info.efer | EFER_SVME;
    vmcb.dr6 = 0xffff_0ff0;
    vmcb.dr7 = 0x400;
    vmcb.guestPat = rdmsr(MSR_PAT);
    this.loadSegments(info);
    for (let i = 0; i < SYSTEM_MSRS.length; i++) vmcb.setSystemMsr(i, rdmsr(unchecked(SYSTEM_MSRS[i])));
    this.store();
  }

  private loadSegments(info: BootInfo): void {
    const vmcb = this.vmcb;
    this.loadSegment(info, Segment.Es, info.es);
    this.loadSegment(info, Segment.Cs, info.cs);
    this.loadSegment(info, Segment.Ss, info.ss);
    this.loadSegment(info, Segment.Ds, info.ds);
    this.loadSegment(info, Segment.Fs, info.fs);
    this.loadSegment(info, Segment.Gs, info.gs);
    vmcb.segment(Segment.Fs).base = rdmsr(MSR_FS_BASE);
    vmcb.segment(Segment.Gs).base = rdmsr(MSR_GS_BASE);
    this.loadSegment(info, TableRegister.Ldtr, info.ldtr);
    this.loadSegment(info, TableRegister.Tr, info.tr);
    vmcb.segment(TableRegister.Gdtr).set(0, 0, info.gdtLimit, info.gdtBase);
    vmcb.segment(TableRegister.Idtr).set(0, 0, info.idtLimit, info.idtBase);
    vmcb.cpl = 0;
  }

  /** Fills a segment register's hidden part from the firmware's GDT, as loading the selector did (AMD APM 2, 4.7 and 4.8). */
  private loadSegment(info: BootInfo, index: u32, selector: u32): void {
    const segment = this.vmcb.segment(index);
    if (!(selector & ~3)) return segment.set(selector, 0, 0, 0);
    const at = info.gdtBase + ((selector & ~7) as u64);
    const descriptor = physRead64(at);
    let base = ((descriptor >> 16) & 0xff_ffff) | ((descriptor >> 32) & 0xff00_0000);
    if (index >= (TableRegister.Gdtr as u32)) base |= physRead64(at + 8) << 32;
    const attributes = ((descriptor >> 40) & 0xff) | ((descriptor >> 44) & 0xf00);
    let limit = ((descriptor & 0xffff) | ((descriptor >> 32) & 0xf_0000)) as u32;
    if (attributes & (1 << 11)) limit = (limit << 12) | 0xfff; // granularity
    segment.set(selector, attributes as u32, limit, base);
  }

  /** What VMRUN left in the VMCB goes to the registers: after every exit. */
  @inline load(): void {
    const vmcb = this.vmcb;
    const registers = this.registers;
    registers.rax = vmcb.rax;
    registers.rsp = vmcb.rsp;
    registers.rip = vmcb.rip;
    registers.rflags = vmcb.rflags;
  }

  /** And back, before every entry. */
  @inline store(): void {
    const vmcb = this.vmcb;
    const registers = this.registers;
    vmcb.rax = registers.rax;
    vmcb.rsp = registers.rsp;
    vmcb.rip = registers.rip;
    vmcb.rflags = registers.rflags;
  }
}
