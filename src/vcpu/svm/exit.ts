import { hypercall } from "../../control/hypercall";
import { controlMoveOperand, instructionLength, twoByteLength } from "../../decode/length";
import { physRead16, wbinvd } from "../../metal";
import { guestCpuid } from "../cpuid";
import { advanceTo, exits, nestedFault, quickMoves, tripleFault } from "../exits";
import { externalInterrupt, nonMaskableInterrupt } from "../interrupts";
import { scheduler } from "../../threads/scheduler";
import { Exception, Registers, Rflags } from "../vcpu";
import { Event, EventType } from "./event";
import { ExitCode } from "./exit-codes";
import { svmFeatures } from "./features";
import { portAccess } from "./io";
import { svmMsrs } from "./msrs";
import { GuestRun } from "./run";
import { SvmVcpu } from "./vcpu";
import { Vmcb } from "./vmcb";

/** EXITINFO1 with decode assists: a MOV, its general register in 3:0 (AMD APM 2, 15.8.1). */
const MOV_TO_CONTROL_REGISTER: u64 = 1 << 63;

/** Opcodes without prefixes, first byte in 7:0. */
const enum Opcode {
  Wrmsr = 0x300f,
  Rdmsr = 0x320f,
  Cpuid = 0xa20f,
}

/** In EXITINFO1 of a nested page fault: the page is there, but not for this access (AMD APM 2, 15.25.6). */
const NESTED_FAULT_PRESENT: u64 = 1;

/** Answers one #VMEXIT of the processor whose run block this is; true if it then waits for a start-up interrupt. */
export function handleExit(run: GuestRun): bool {
  const vcpu = changetype<SvmVcpu>(run.vcpu);
  const vmcb = vcpu.vmcb;
  const code = vmcb.exitCode;
  vcpu.leaveGuest();
  vmcb.eventInjection = 0;
  vmcb.tlbControl = 0;
  const interrupted = vmcb.exitIntInfo;
  if (interrupted & Event.VALID) deliverAgain(vcpu, interrupted);
  if (!answerQuickly(vcpu, run, vmcb, code)) {
    // Not before the short ways, which change nothing that it covers
    vmcb.clean = svmFeatures.cleanBits;
    vcpu.load();
    dispatch(vcpu, code);
    vcpu.store();
    vcpu.counters.countExit(code);
    scheduler.wakeSleepers();
  }
  return !exits.finish(vcpu);
}

/** An NMI came to a processor that waits for a start-up interrupt; true if it goes on waiting. */
export function handleWake(run: GuestRun): bool {
  const vcpu = changetype<SvmVcpu>(run.vcpu);
  vcpu.wake();
  return !exits.finish(vcpu);
}

/**
 * The short ways for two frequent exits of code whose place is known, in 64-bit mode: CPUID, and a plain MOV to or from
 * the local APIC or a device. False, with nothing changed, for all else.
 */
function answerQuickly(vcpu: SvmVcpu, registers: Registers, vmcb: Vmcb, exitCode: u32): bool {
  if (exitCode == ExitCode.Cpuid) {
    const next = afterCpuid(vcpu, vmcb);
    if (!next) return false;
    registers.rax = vmcb.rax;
    guestCpuid.execute(registers, vcpu);
    vmcb.rax = registers.rax;
    vmcb.rip = next;
    vcpu.counters.countExit(ExitCode.Cpuid);
  } else if (exitCode == ExitCode.NestedPageFault) {
    const code = knownCode(vcpu, vmcb);
    if (!code) return false;
    vcpu.load();
    if (!quickMoves.carryOut(vcpu, code, vmcb.exitInfo2)) return false;
    vcpu.store();
    vcpu.counters.countExit(ExitCode.NestedPageFault);
  } else {
    return false;
  }
  vmcb.interruptShadow = 0;
  return true;
}

/** Where the guest goes on after its CPUID, or 0 if that is not known at once or is not all. */
function afterCpuid(vcpu: SvmVcpu, vmcb: Vmcb): u64 {
  if (vmcb.nextRip) return goesOn(vmcb) ? vmcb.nextRip : 0; // 0 on processors that do not save it
  const code = knownCode(vcpu, vmcb);
  return code && physRead16(code) == Opcode.Cpuid ? vmcb.rip + 2 : 0;
}

/** Whether the guest runs in 64-bit mode, and nothing but the next RIP comes after an instruction. */
function goesOn(vmcb: Vmcb): bool {
  return vmcb.in64BitMode() && !((vmcb.rflags as u32) & (Rflags.Tf | Rflags.Rf));
}

/** Where the instruction at RIP was found before, or 0. */
function knownCode(vcpu: SvmVcpu, vmcb: Vmcb): u64 {
  return goesOn(vmcb) ? vcpu.places.find(vmcb.rip, vmcb.cr3) : 0;
}

function dispatch(vcpu: SvmVcpu, code: u32): void {
  switch (code) {
    case ExitCode.Cpuid:
      if (!advanceOverTwoBytes(vcpu, Opcode.Cpuid)) return;
      guestCpuid.execute(vcpu.registers, vcpu);
      return;
    case ExitCode.Ioio:
      return portAccess(vcpu);
    case ExitCode.NestedPageFault:
      return nestedFault(vcpu, vcpu.vmcb.exitInfo2, (vcpu.vmcb.exitInfo1 & NESTED_FAULT_PRESENT) != 0);
    case ExitCode.Intr: // the machine's interrupt comes first, and is left to the local APIC until the guest's is delivered
      if (!vcpu.takeBackInterrupt()) externalInterrupt(vcpu);
      return;
    case ExitCode.Nmi:
      vcpu.takeBackInterrupt();
      return nonMaskableInterrupt(vcpu);
    case ExitCode.Iret:
      return vcpu.endNmi();
    case ExitCode.Vintr:
      return vcpu.windowOpened();
    case ExitCode.Msr:
      return msrAccess(vcpu);
    case ExitCode.Vmmcall:
      if (!hypercall(vcpu)) vcpu.raise(Exception.InvalidOpcode);
      else advance(vcpu);
      return;
    case ExitCode.Invd: // its effect on Sheer's own dirty cache lines would be fatal: write them back instead
    case ExitCode.Wbinvd:
      wbinvd();
      advance(vcpu);
      return;
    case ExitCode.WriteCr8:
      return writeTaskPriority(vcpu);
    case ExitCode.Shutdown:
      return tripleFault(vcpu);
    case ExitCode.Invalid:
      // A control register value that the processor refuses only now is #GP (AMD APM 2, 15.5.1)
      return vcpu.raiseWithError(Exception.GeneralProtection, 0);
    case ExitCode.Hlt: // runs again once threads have had the time that the guest has no use for
    case ExitCode.Mwait: // the same, and may then return at once
      return;
    case ExitCode.Init: // never arrives: INIT is not sent; should a device do so, it is held
      vcpu.takeBackInterrupt();
      return;
    default: // SVM's own instructions, which this guest's processor does not have
      return vcpu.raise(Exception.InvalidOpcode);
  }
}

/** Goes past the instruction that caused the exit; false if the guest has an exception instead of going on. */
function advance(vcpu: SvmVcpu): bool {
  return advanceToNext(vcpu) || advanceOver(vcpu, instructionLength(vcpu));
}

/** The same for an instruction whose opcode has two bytes, as `opcode`. */
function advanceOverTwoBytes(vcpu: SvmVcpu, opcode: u32): bool {
  return advanceToNext(vcpu) || advanceOver(vcpu, twoByteLength(vcpu, opcode));
}

/** The same by what the processor has noted; false, with nothing changed, if it has not. */
function advanceToNext(vcpu: SvmVcpu): bool {
  if (!svmFeatures.nextRipSave || !vcpu.vmcb.nextRip) return false;
  advanceTo(vcpu, vcpu.vmcb.nextRip);
  return true;
}

function advanceOver(vcpu: SvmVcpu, length: u32): bool {
  if (!length) return false;
  advanceTo(vcpu, vcpu.registers.rip + (length as u64));
  return true;
}

/**
 * The exit came while an event was being delivered: deliver it after the exit has been dealt with. Software interrupts
 * and breakpoints are left out: RIP is still at their instruction, which runs again.
 */
function deliverAgain(vcpu: SvmVcpu, event: u64): void {
  const vector = Event.vector(event);
  let type = Event.type(event);
  if (type == EventType.SoftwareInterrupt || (type == EventType.Exception && (vector == 3 || vector == 4))) return;
  // Some processors name external interrupts and NMIs exceptions here, which EVENTINJ does not take
  if (type == EventType.Exception && vector == 2) type = EventType.Nmi;
  else if (type == EventType.Exception && vector >= 32) type = EventType.External;
  vcpu.vmcb.eventInjection = (event & ~(0x700 as u64)) | ((type as u64) << 8);
  vcpu.takeBackInterrupt();
}

function msrAccess(vcpu: SvmVcpu): void {
  const registers = vcpu.registers;
  const index = registers.rcx as u32;
  const value = (registers.rax & 0xffff_ffff) | (registers.rdx << 32);
  const write = (vcpu.vmcb.exitInfo1 & 1) != 0;
  const done = write ? svmMsrs.write(vcpu, index, value) : svmMsrs.read(vcpu, index);
  if (!done) vcpu.raiseWithError(Exception.GeneralProtection, 0);
  else advanceOverTwoBytes(vcpu, write ? Opcode.Wrmsr : Opcode.Rdmsr);
}

/** MOV to CR8: a class above 0 keeps private vectors back. */
function writeTaskPriority(vcpu: SvmVcpu): void {
  const info = vcpu.vmcb.exitInfo1;
  const assisted = svmFeatures.decodeAssists && (info & MOV_TO_CONTROL_REGISTER) != 0;
  if (!assisted && !instructionLength(vcpu)) return;
  const value = vcpu.registers.get(assisted ? (info as u32) & 15 : controlMoveOperand(vcpu));
  if (value > 15) return vcpu.raiseWithError(Exception.GeneralProtection, 0);
  if (value) vcpu.passTaskPriority();
  vcpu.apic.writeTaskPriorityClass(value as u32);
  advance(vcpu);
}
