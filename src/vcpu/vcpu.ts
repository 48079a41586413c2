import { FirmwareContext } from "../boot/info";
import { settings } from "../config/settings";
import { ProcessorCounters } from "../control/counters";
import { Instruction } from "../decode/instruction";
import { CodePlaces } from "../decode/place";
import { ApicMode, LocalApic } from "../interrupt/apic";
import { GuestInterrupts } from "../interrupt/guest";
import { deviceCausedNmi } from "../interrupt/nmi-status";
import { ANSWER_BITS, Answer, Signals } from "../interrupt/signals";
import { RecentHook } from "../memory/hooks";
import { atomicExchange32, atomicLoad32, atomicStore32, physRead64 } from "../metal";
import { scheduler } from "../threads/scheduler";
import { processors } from "./processors";

/** The order in which instructions encode segment registers. */
export const enum Segment {
  Es,
  Cs,
  Ss,
  Ds,
  Fs,
  Gs,
}

/** The order in which instructions encode general registers. */
export const enum Gpr {
  Rax,
  Rcx,
  Rdx,
  Rbx,
  Rsp,
  Rbp,
  Rsi,
  Rdi,
  R8,
  R9,
  R10,
  R11,
  R12,
  R13,
  R14,
  R15,
}

export const enum Exception {
  DivideError = 0,
  Debug = 1,
  InvalidOpcode = 6,
  DeviceNotAvailable = 7,
  DoubleFault = 8,
  StackFault = 12,
  GeneralProtection = 13,
  PageFault = 14,
  AlignmentCheck = 17,
}

export const enum Rflags {
  Cf = 1 << 0,
  Pf = 1 << 2,
  Af = 1 << 4,
  Zf = 1 << 6,
  Sf = 1 << 7,
  Tf = 1 << 8,
  If = 1 << 9,
  Df = 1 << 10,
  Of = 1 << 11,
  Iopl = 3 << 12,
  Rf = 1 << 16,
  Vm = 1 << 17,
  Ac = 1 << 18,
}

const RESET_RIP: u64 = 0xfff0;

/** The guest's general registers, RIP and RFLAGS: in memory from exit to entry, on every vendor's processor. */
@unmanaged
export class Registers {
  rax: u64;
  rcx: u64;
  rdx: u64;
  rbx: u64;
  rsp: u64;
  rbp: u64;
  rsi: u64;
  rdi: u64;
  r8: u64;
  r9: u64;
  r10: u64;
  r11: u64;
  r12: u64;
  r13: u64;
  r14: u64;
  r15: u64;
  rip: u64;
  rflags: u64;

  /** General register by its number in instructions, 64 bits. */
  @inline get(index: u32): u64 {
    return load<u64>(changetype<usize>(this) + ((index as usize) << 3));
  }
  @inline set(index: u32, value: u64): void {
    store<u64>(changetype<usize>(this) + ((index as usize) << 3), value);
  }

  /** As the firmware had them when it called Sheer, with the call returning `status`. */
  resumeFirmware(context: FirmwareContext, status: u64): void {
    this.rax = status;
    this.rbx = context.rbx;
    this.rbp = context.rbp;
    this.rsi = context.rsi;
    this.rdi = context.rdi;
    this.r12 = context.r12;
    this.r13 = context.r13;
    this.r14 = context.r14;
    this.r15 = context.r15;
    this.rip = physRead64(context.rsp);
    this.rsp = context.rsp + 8;
    this.rflags = context.rflags;
  }

  /** As INIT leaves them (AMD APM 2, table 14-1; Intel SDM 3, table 10-1); `signature` is EAX of CPUID leaf 1. */
  reset(signature: u32): void {
    for (let i: u32 = 0; i < 16; i++) this.set(i, 0);
    this.rdx = signature as u64;
    this.rip = RESET_RIP;
    this.rflags = 2;
  }
}

/** One guest processor, as everything outside vcpu/svm and vcpu/vmx sees it. */
export abstract class Vcpu {
  /** Where the decoder takes this processor's instructions apart. */
  readonly instruction: Instruction = new Instruction();
  readonly places: CodePlaces = new CodePlaces();
  readonly recentHook: RecentHook = new RecentHook();
  readonly apic: LocalApic = new LocalApic();
  readonly interrupts: GuestInterrupts = new GuestInterrupts(this.apic);
  readonly signals: Signals = new Signals();
  readonly counters: ProcessorCounters = new ProcessorCounters();
  /** Whether Sheer's own interrupts come here: set by any processor, which then calls `synchronise`. */
  takesPrivateVectors: bool = false;
  /** What `returnSoon` was last told. */
  returnsSoon: bool = false;
  /** An NMI waits until the guest can take it. */
  protected pendingNmi: bool = false;
  /** 1 from just before the guest's run to just after. */
  private inGuest: u32 = 0;
  /** 1 while an NMI of Sheer's own is on its way here. */
  private kicked: u32 = 0;
  /** The generation of the guest's address space that it last ran with. */
  private seen: u32 = 0;

  /** `index` counts the processors from the boot processor's 0. */
  constructor(
    readonly registers: Registers,
    readonly index: u32,
  ) {}

  /** 32 bytes that nothing but the present exit uses. */
  abstract scratch(): usize;
  abstract cr0(): u64;
  abstract cr3(): u64;
  abstract cr4(): u64;
  /** CR4 as it is on the processor: so but for bits that virtualization fixes, of which VMXE is the only one there is. */
  abstract cr4OnProcessor(): u64;
  abstract efer(): u64;
  /** Current privilege level, 0 to 3. */
  abstract cpl(): u32;
  /** Operand and address size that the code segment gives by default: 16, 32 or 64 bits. */
  abstract codeBits(): u32;
  /** Base of a segment as the processor adds it to an offset in the current mode (0 in 64-bit mode but for FS and GS). */
  abstract segmentBase(segment: Segment): u64;
  /** Limit of a segment in bytes, expanded. */
  abstract segmentLimit(segment: Segment): u32;
  abstract segmentSelector(segment: Segment): u32;
  /** A segment's descriptor bits 47:40 in 7:0 and 55:52 in 11:8, as the VMCB keeps them (APM 2, 15.5.1 and appendix B). */
  abstract segmentAttributes(segment: Segment): u32;
  /**
   * Copies the bytes of the instruction at RIP, if the processor noted them for this exit, to `to`, where there is room
   * for 16; returns how many.
   */
  abstract notedBytes(to: usize): u32;
  abstract setCr2(value: u64): void;
  /** Delivers an exception to the guest at its current RIP before its next instruction. */
  abstract raise(exception: Exception): void;
  abstract raiseWithError(exception: Exception, error: u32): void;
  /** Delivers an external interrupt, which the guest must be able to take, before its next instruction. */
  abstract injectInterrupt(vector: u32): void;

  /** Whether the guest handles an NMI, so far as is known. */
  abstract handlesNmi(): bool;

  /** What the end of an instruction does: it clears RF, ends the shadow of STI or MOV SS, and traps if TF is set. */
  abstract finishInstruction(): void;

  /** Sets the processor as INIT does (AMD APM 2, table 14-1): a boot processor starts anew, any other waits. */
  abstract reset(): void;
  /** Sets CS and RIP as a start-up interrupt does. */
  abstract startAt(vector: u32): void;
  /** Has the next run begin without translations of the guest's addresses. */
  abstract forgetTranslations(): void;
  /** Has external interrupts end the guest's run from its next one on. */
  abstract interceptInterrupts(): void;
  /** Before every entry; false if the processor waits for a start-up interrupt instead. */
  abstract enter(): bool;
  /** After a trap: takes the guest's registers back to where they were at the exit, as far as the processor has kept them. */
  abstract restart(): void;
  /**
   * Whether the guest is to be asked for its next exit, because there is work for this processor: its next halt is to end its
   * run, and so is its next interrupt, unless the settings keep Sheer from intercepting those.
   */
  abstract returnSoon(soon: bool): void;

  /** Whether external interrupts are to end the guest's run. */
  protected get wantsInterrupts(): bool {
    return this.takesPrivateVectors || (this.returnsSoon && settings.intercept);
  }

  @inline isInGuest(): bool {
    return atomicLoad32(changetype<usize>(this) + offsetof<Vcpu>("inGuest")) != 0;
  }
  @inline generation(): u32 {
    return atomicLoad32(changetype<usize>(this) + offsetof<Vcpu>("seen"));
  }

  /** Ends the guest's run on this processor, from another one. */
  kick(): void {
    if (atomicExchange32(changetype<usize>(this) + offsetof<Vcpu>("kicked"), 1)) return; // the first is still on its way
    processors.current().apic.sendNmi(this.apic.id);
  }

  /**
   * An NMI was taken while Sheer ran: Sheer's own, or the guest's. The processor makes one of two that come together; then
   * the chipset tells of a device's, which the boot processor is there for; its handler, once it runs, sees that too.
   */
  tookNmi(): void {
    const kicked = atomicExchange32(changetype<usize>(this) + offsetof<Vcpu>("kicked"), 0) != 0;
    if (!kicked || (this.index == 0 && !this.handlesNmi() && deviceCausedNmi())) this.pendingNmi = true;
  }

  /** NMIs for this processor, which has not been in the guest, may have been lost: whoever calls it next sends a new one. */
  missedNmis(): void {
    atomicExchange32(changetype<usize>(this) + offsetof<Vcpu>("kicked"), 0);
  }

  @inline leaveGuest(): void {
    this.inGuest = 0;
  }

  /**
   * After an exit has been answered: takes what other processors have sent. True if the guest can go on here, false if
   * the processor waits for a start-up interrupt.
   */
  @inline enterGuest(): bool {
    atomicExchange32(changetype<usize>(this) + offsetof<Vcpu>("inGuest"), 1);
    if (this.seen != processors.currentGeneration()) this.notice();
    return !this.signals.any() || this.takeSignals();
  }

  private notice(): void {
    atomicStore32(changetype<usize>(this) + offsetof<Vcpu>("seen"), processors.currentGeneration());
    this.forgetTranslations();
    this.recentHook.forget();
    if (this.takesPrivateVectors) this.interceptInterrupts();
  }

  /** At the end of an exit, if there is work: threads have their turns, and more turns soon if they need them. */
  giveTurns(): void {
    this.returnsSoon = scheduler.turn();
    this.returnSoon(this.returnsSoon);
  }

  /** The NMI came that a processor without a start-up interrupt waits for. */
  wake(): void {
    this.tookNmi();
    this.pendingNmi = false;
  }

  private takeSignals(): bool {
    while (true) {
      const answer = this.signals.take(this.index == 0);
      switch (answer & ((1 << ANSWER_BITS) - 1)) {
        case Answer.Reset:
          this.resetApic();
          this.pendingNmi = false;
          this.reset();
          break;
        case Answer.Start:
          this.startAt(answer >> ANSWER_BITS);
          break;
        case Answer.Nmi:
          this.pendingNmi = true;
          break;
        case Answer.Wait:
          this.inGuest = 0;
          return false;
        default:
          return true;
      }
    }
  }

  /** INIT that was on its way when the guest disabled the local APIC enables it: a start-up interrupt must find it. */
  private resetApic(): void {
    if (this.apic.mode != ApicMode.Disabled) this.apic.reset();
    else if (this.apic.enable()) this.missedNmis();
  }

  /** Page fault with CR2 set to the guest-virtual `address`. */
  raisePageFault(address: u64, error: u32): void {
    this.setCr2(address);
    this.raiseWithError(Exception.PageFault, error);
  }
}
