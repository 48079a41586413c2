import { hypercall } from "../../control/hypercall";
import { openInterruptWindow, vmread, vmwrite, wbinvd } from "../../metal";
import { guestCpuid } from "../cpuid";
import { advanceTo, exits, nestedFault, quickMoves, tripleFault } from "../exits";
import { externalInterrupt } from "../interrupts";
import { scheduler } from "../../threads/scheduler";
import { InterruptWindow } from "../../interrupt/window";
import { Exception, Registers, Rflags } from "../vcpu";
import { ExitCode } from "../svm/exit-codes";
import { controlRegisters } from "./control-registers";
import { ENTRY_FAILED, ExitReason } from "./exit-reasons";
import { entryFailures } from "./failure";
import { Interruption } from "./interruption";
import { Field, Interruptibility, InterruptionType } from "./vmcs";
import { portAccess } from "./io";
import { vmxMsrs } from "./msrs";
import { RunEnd, VmxRun } from "./run";
import { unknownExits } from "./unknown-exits";
import { SHADOW, VmxVcpu } from "./vcpu";

/** In the qualification of an EPT violation: what the entries allow (Intel SDM 3, table 28-7). */
const ENTRY_RIGHTS: u64 = 7 << 3;
/** And that an IRET had unblocked NMIs. */
const NMI_UNBLOCKED: u64 = 1 << 12;

/** Answers one VM exit of the processor whose run block this is; true if it then waits for a start-up interrupt. */
export function handleVmxExit(run: VmxRun): bool {
  const vcpu = changetype<VmxVcpu>(run.vcpu);
  vcpu.leaveGuest();
  if (run.end != RunEnd.Exit) {
    if (run.end == RunEnd.Failed) {
      entryFailures.explainInstruction();
      unreachable();
    }
    vcpu.tookNmi();
    return !exits.finish(vcpu);
  }
  const reason = vmread(Field.ExitReason) as u32;
  if (reason != ExitReason.Cpuid || !quickCpuid(vcpu, run)) answer(vcpu, run, reason);
  return !exits.finish(vcpu);
}

/** An NMI came to a processor that waits for a start-up interrupt; true if it goes on waiting. */
export function handleVmxWake(run: VmxRun): bool {
  const vcpu = changetype<VmxVcpu>(run.vcpu);
  vcpu.wake();
  return !exits.finish(vcpu);
}

/** All but the short way for CPUID, which never interrupts an event's delivery. */
function answer(vcpu: VmxVcpu, registers: Registers, reason: u32): void {
  const vectoring = vmread(Field.IdtVectoringInformation) as u32;
  if (vectoring & Interruption.VALID) deliverAgain(vectoring);
  if (reason == ExitReason.EptViolation && quickMove(vcpu, registers)) return;
  vcpu.load();
  dispatch(vcpu, reason);
  vcpu.store();
  vcpu.counters.countExit(counterOf(reason));
  scheduler.wakeSleepers();
}

/**
 * The short way for CPUID, if nothing but the next RIP comes after it; else false, with nothing changed. Where RIP's upper bits
 * stay as they are, it is right in code of each size.
 */
function quickCpuid(vcpu: VmxVcpu, registers: Registers): bool {
  const rip = vmread(Field.GuestRip);
  const next = rip + vmread(Field.ExitInstructionLength);
  if ((rip ^ next) >> 16 || vmread(Field.GuestRflags) & (Rflags.Tf | Rflags.Rf)) return false;
  if (vmread(Field.GuestInterruptibility) & SHADOW) return false;
  guestCpuid.execute(registers, vcpu);
  vmwrite(Field.GuestRip, next);
  vcpu.counters.countExit(ExitCode.Cpuid);
  return true;
}

/** The short way for a plain MOV to or from a hooked page, in 64-bit mode; false as above. */
function quickMove(vcpu: VmxVcpu, registers: Registers): bool {
  registers.rflags = vmread(Field.GuestRflags);
  if (registers.rflags & (Rflags.Tf | Rflags.Rf) || !vcpu.in64BitMode()) return false;
  registers.rip = vmread(Field.GuestRip);
  const code = vcpu.places.find(registers.rip, vmread(Field.GuestCr3));
  if (!code) return false;
  registers.rsp = vmread(Field.GuestRsp);
  if (!quickMoves.carryOut(vcpu, code, vmread(Field.GuestPhysicalAddress))) return false;
  vmwrite(Field.GuestRsp, registers.rsp);
  vcpu.finishInstruction();
  vmwrite(Field.GuestRip, registers.rip);
  vcpu.counters.countExit(ExitCode.NestedPageFault);
  return true;
}

function dispatch(vcpu: VmxVcpu, reason: u32): void {
  switch (reason) {
    case ExitReason.Cpuid:
      guestCpuid.execute(vcpu.registers, vcpu);
      return advance(vcpu);
    case ExitReason.IoInstruction:
      return portAccess(vcpu, vmread(Field.ExitQualification) as u32, next(vcpu));
    case ExitReason.EptViolation:
      return eptViolation(vcpu);
    case ExitReason.ExternalInterrupt:
      if (vcpu.isInterruptible()) externalInterrupt(vcpu);
      else vcpu.awaitInterruptWindow();
      return;
    case ExitReason.ExceptionOrNmi: // only NMIs are intercepted; that the exit has taken it, IRET ends
      vcpu.tookNmi();
      if (openInterruptWindow(false) & InterruptWindow.Nmi) vcpu.tookNmi();
      return;
    case ExitReason.NmiWindow:
      return vcpu.nmiWindowOpened();
    case ExitReason.InterruptWindow:
      return vcpu.interruptWindowOpened();
    case ExitReason.Rdmsr:
    case ExitReason.Wrmsr:
      return msrAccess(vcpu, reason == ExitReason.Wrmsr);
    case ExitReason.ControlRegister:
      return controlRegisterWrite(vcpu, vmread(Field.ExitQualification) as u32);
    case ExitReason.Xsetbv: {
      const registers = vcpu.registers;
      const value = (registers.rax & 0xffff_ffff) | (registers.rdx << 32);
      return orGeneralProtection(vcpu, controlRegisters.writeXcr0(registers.rcx as u32, value));
    }
    case ExitReason.Vmcall:
      if (!hypercall(vcpu)) vcpu.raise(Exception.InvalidOpcode);
      else advance(vcpu);
      return;
    case ExitReason.Invd: // its effect on Sheer's own dirty cache lines would be fatal: write them back instead
    case ExitReason.Wbinvd:
      wbinvd();
      return advance(vcpu);
    case ExitReason.TaskSwitch:
      return taskSwitch(vcpu);
    case ExitReason.TripleFault:
      return tripleFault(vcpu);
    case ExitReason.Hlt: // runs again once threads have had the time that the guest has no use for
    case ExitReason.Mwait: // the same; it returns at once then, since exits end the monitoring (Intel SDM 3, 28.5.6)
    case ExitReason.Init: // is not sent; should a device do so, it is dropped
      return;
    default:
      return otherExit(vcpu, reason);
  }
}

/** VMX's own instructions, which this guest's processor does not have; and what nobody knows. */
function otherExit(vcpu: VmxVcpu, reason: u32): void {
  if (reason & ENTRY_FAILED) {
    entryFailures.explainState(reason);
    unreachable();
  }
  if (reason == ExitReason.EptMisconfiguration) unreachable(); // the tables are Sheer's own
  const isVmx = reason >= (ExitReason.Vmclear as u32) && reason <= (ExitReason.Vmxon as u32);
  const isOther = reason == ExitReason.Invept || reason == ExitReason.Invvpid || reason == ExitReason.Getsec;
  if (!isVmx && !isOther) unknownExits.report(vcpu, reason);
  if (!vcpu.eventPends()) vcpu.raise(Exception.InvalidOpcode); // else the exit is no instruction's, and the event comes again
}

/**
 * No task is switched under VT-x, and Sheer does not do it in the processor's place. An instruction that asks for it is #UD.
 * An event that the guest's IDT has a task for, as a double fault may, would come here again and again: it is a shutdown.
 */
function taskSwitch(vcpu: VmxVcpu): void {
  unknownExits.report(vcpu, ExitReason.TaskSwitch);
  if (vcpu.eventPends()) tripleFault(vcpu);
  else vcpu.raise(Exception.InvalidOpcode);
}

/**
 * The exit came while an event was being delivered: deliver it after the exit has been dealt with. Software interrupts and
 * exceptions are left out: RIP is still at their instruction, which runs again (Intel SDM 3, 28.2.4).
 */
function deliverAgain(vectoring: u32): void {
  const type = Interruption.type(vectoring);
  if (type >= InterruptionType.SoftwareInterrupt) return;
  if (type == InterruptionType.Nmi) {
    const interruptibility = vmread(Field.GuestInterruptibility);
    vmwrite(Field.GuestInterruptibility, interruptibility & ~(Interruptibility.BlockingByNmi as u64));
  }
  if (vectoring & Interruption.ERROR_VALID) vmwrite(Field.EntryExceptionErrorCode, vmread(Field.IdtVectoringErrorCode));
  vmwrite(Field.EntryInterruptionInformation, vectoring & 0x8000_0fff);
}

function eptViolation(vcpu: VmxVcpu): void {
  const qualification = vmread(Field.ExitQualification);
  const delivering = (vmread(Field.IdtVectoringInformation) as u32) & Interruption.VALID;
  if (qualification & NMI_UNBLOCKED && !delivering) vcpu.blockNmis();
  nestedFault(vcpu, vmread(Field.GuestPhysicalAddress), (qualification & ENTRY_RIGHTS) != 0);
}

function msrAccess(vcpu: VmxVcpu, write: bool): void {
  const registers = vcpu.registers;
  const index = registers.rcx as u32;
  const value = (registers.rax & 0xffff_ffff) | (registers.rdx << 32);
  orGeneralProtection(vcpu, write ? vmxMsrs.write(vcpu, index, value) : vmxMsrs.read(vcpu, index));
}

/** A MOV to CR0 or CR4 that changes a watched bit, or to CR8 (Intel SDM 3, table 28-3): no other access exits. */
function controlRegisterWrite(vcpu: VmxVcpu, qualification: u32): void {
  const value = vcpu.registers.get((qualification >> 8) & 15);
  switch (qualification & 15) {
    case 0:
      if (!controlRegisters.showCr0(value)) vcpu.raiseWithError(Exception.GeneralProtection, 0);
      return;
    case 4:
      if (!controlRegisters.showCr4(value)) vcpu.raiseWithError(Exception.GeneralProtection, 0);
      return;
    default:
      if (value > 15) return vcpu.raiseWithError(Exception.GeneralProtection, 0);
      if (value) vcpu.passTaskPriority();
      vcpu.apic.writeTaskPriorityClass(value as u32);
      return advance(vcpu);
  }
}

/** Goes past the instruction that caused the exit if it is done; else the guest has #GP. */
function orGeneralProtection(vcpu: VmxVcpu, done: bool): void {
  if (done) advance(vcpu);
  else vcpu.raiseWithError(Exception.GeneralProtection, 0);
}

function next(vcpu: VmxVcpu): u64 {
  return vcpu.registers.rip + vmread(Field.ExitInstructionLength);
}
function advance(vcpu: VmxVcpu): void {
  advanceTo(vcpu, next(vcpu));
}

/** Where exits are counted: by AMD's codes, which reports have names for. */
function counterOf(reason: u32): u32 {
  switch (reason) {
    case ExitReason.ExternalInterrupt:
      return ExitCode.Intr;
    case ExitReason.Cpuid:
      return ExitCode.Cpuid;
    case ExitReason.Invd:
      return ExitCode.Invd;
    case ExitReason.IoInstruction:
      return ExitCode.Ioio;
    case ExitReason.Rdmsr:
    case ExitReason.Wrmsr:
      return ExitCode.Msr;
    case ExitReason.Vmcall:
      return ExitCode.Vmmcall;
    case ExitReason.Wbinvd:
      return ExitCode.Wbinvd;
    case ExitReason.EptViolation:
      return ExitCode.NestedPageFault;
    default:
      return 0xffff_ffff;
  }
}
