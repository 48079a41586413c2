// One processor in VMX non-root operation: VM exits, their answers by the core, the entries after them, and the events
// between the guest's instructions (SDM 3, chapters 26 to 28).
import { Code } from "../guest/code.ts";
import { EventType, type GuestEvent, Vector } from "../guest/events.ts";
import type { Instruction } from "../guest/instruction.ts";
import { type NestedFault, NestedTranslator } from "../guest/nested.ts";
import type { Access, Translation } from "../guest/paging.ts";
import type { GuestProcessorParts } from "../guest/processor.ts";
import { secondary } from "./entry-rules.ts";
import { ExitReason } from "./exit-reasons.ts";
import { violation, walkExtendedTables } from "./extended.ts";
import { exitOf, kindOf } from "./intercepts.ts";
import { encodeEvent, EVENT_VALID, parseEvent } from "./interruption.ts";
import type { VmxOperation } from "./operation.ts";
import { VmxState } from "./state.ts";
import { Blocking, ExitControl, Field, Pin, Primary, Secondary } from "./vmcs.ts";

/** Offsets in the VmxRun block (src/vcpu/vmx/run.ts). */
const END = 0x90;
const LAUNCHED = 0x98;
const RunEnd = { Exit: 0n, Failed: 1n, Nmi: 2n } as const;
const PENDING_BS = 1n << 14n;
const DR6_BS = 1n << 14n;
const EPT_ACCESSED_DIRTY = 1n << 6n;
/** What is in fields that an exit leaves undefined. */
const UNDEFINED = 0xbadn;
const NMI: GuestEvent = { type: EventType.Nmi, vector: Vector.Nmi, error: undefined };

export interface ExitDetails {
  readonly qualification?: bigint;
  /** Of the instruction that caused the exit, in bytes. */
  readonly length?: number | bigint;
  readonly guestPhysical?: number | bigint;
  readonly guestLinear?: number | bigint;
  /** The event that caused the exit. */
  readonly interruption?: GuestEvent | undefined;
  /** An event that was being delivered. */
  readonly vectoring?: GuestEvent | undefined;
}

export class VmxProcessor extends VmxState {
  readonly hypercallBytes = Code.vmcall;
  readonly #translator: NestedTranslator;

  constructor(parts: GuestProcessorParts, operation: VmxOperation) {
    super(parts, operation);
    const { vmcs, memory } = this;
    this.#translator = new NestedTranslator((address) =>
      walkExtendedTables(memory, vmcs.get(Field.EptPointer), address),
    );
    operation.onInvalidation = () => {
      this.#translator.forget();
      this.flushes++;
    };
    this.enter();
  }

  /** A VM exit, its answer by the core, and the entry after it. */
  exit(reason: number, details: ExitDetails = {}): void {
    const { vmcs } = this;
    const { qualification = 0n, length = UNDEFINED, guestPhysical = UNDEFINED, guestLinear = UNDEFINED } = details;
    vmcs.set(Field.ExitReason, BigInt(reason));
    vmcs.set(Field.ExitQualification, qualification);
    vmcs.set(Field.ExitInstructionLength, BigInt(length));
    vmcs.set(Field.GuestPhysicalAddress, BigInt(guestPhysical));
    vmcs.set(Field.GuestLinearAddress, BigInt(guestLinear));
    this.#note(details.interruption, Field.ExitInterruption, Field.ExitErrorCode);
    this.#note(details.vectoring, Field.IdtVectoring, Field.IdtVectoringErrorCode);
    vmcs.set(Field.EntryInterruption, vmcs.get(Field.EntryInterruption) & ~EVENT_VALID);
    this.noteMode();
    this.#finishRun(reason, RunEnd.Exit);
  }

  /** 28.2: the fields have an event, or say that there is none. */
  #note(event: GuestEvent | undefined, information: number, errorCode: number): void {
    this.vmcs.set(information, event ? encodeEvent(event) : 0n);
    this.vmcs.set(errorCode, event?.error === undefined ? UNDEFINED : BigInt(event.error));
  }

  #finishRun(reason: number, end: bigint): void {
    this.block.setBigUint64(END, end, true);
    const { core, run } = this.parts;
    this.finishExit(kindOf(reason), () => core.vmxExit(run));
  }

  intercept(instruction: Instruction, next: bigint): boolean {
    const exit = exitOf(this.vmcs, this.memory, instruction);
    if (exit) this.exit(exit.reason, { ...exit, length: next - this.rip });
    return exit !== undefined;
  }

  interceptException(event: GuestEvent): boolean {
    if (!this.vmcs.controls(Field.ExceptionBitmap, 1 << event.vector)) return false;
    this.exit(ExitReason.ExceptionOrNmi, { interruption: event });
    return true;
  }

  tripleFault(): void {
    this.exit(ExitReason.TripleFault);
  }

  /** By a control the exit has taken the interrupt from the local APIC. */
  exitForInterrupt(): void {
    const taken = this.vmcs.controls(Field.ExitControls, ExitControl.Acknowledge) ? this.apic.acknowledge() : -1;
    const interruption = taken < 0 ? undefined : { type: EventType.External, vector: taken, error: undefined };
    this.exit(ExitReason.ExternalInterrupt, { interruption });
  }

  /** The exit takes the NMI. */
  exitForNmi(): void {
    this.apic.nmi = false;
    this.exit(ExitReason.ExceptionOrNmi, { interruption: NMI });
  }

  exitForFault(fault: NestedFault, delivering?: GuestEvent): void {
    if (delivering?.type === EventType.Nmi) this.#blockNmis(true);
    const guestPhysical = fault.address;
    if (fault.reserved) return this.exit(ExitReason.EptMisconfiguration, { guestPhysical, vectoring: delivering });
    const qualification = violation(fault);
    this.exit(ExitReason.EptViolation, { qualification, guestPhysical, vectoring: delivering });
  }

  get interceptsNmis(): boolean {
    return this.vmcs.controls(Field.PinBased, Pin.Nmi);
  }

  /** What the entry brings: the event in its fields, else a debug trap that was pending (27.6 and 27.7.3). */
  get injection(): GuestEvent | undefined {
    const { vmcs } = this;
    const event = parseEvent(vmcs.get(Field.EntryInterruption), vmcs.get(Field.EntryErrorCode));
    if (event || !(vmcs.get(Field.PendingDebug) & PENDING_BS) || this.shadow) return event;
    return { type: EventType.Exception, vector: Vector.Debug, error: undefined };
  }

  takeInjection(): GuestEvent | undefined {
    const { vmcs, injection } = this;
    const injected = vmcs.get(Field.EntryInterruption);
    if (injected & EVENT_VALID) vmcs.set(Field.EntryInterruption, injected & ~EVENT_VALID);
    else if (injection) {
      vmcs.set(Field.PendingDebug, 0n);
      this.dr6 |= DR6_BS;
    }
    if (injection?.type === EventType.Nmi) this.#blockNmis(true);
    return injection;
  }

  /** With virtual NMIs it is these that are blocked, and IRET ends it. */
  #blockNmis(on: boolean): void {
    const rest = this.vmcs.get(Field.Interruptibility) & ~BigInt(Blocking.Nmi);
    this.vmcs.set(Field.Interruptibility, on ? rest | BigInt(Blocking.Nmi) : rest);
  }
  get #nmisBlocked(): boolean {
    return this.vmcs.controls(Field.Interruptibility, Blocking.Nmi);
  }

  protected get writesTables(): boolean {
    return (this.vmcs.get(Field.EptPointer) & EPT_ACCESSED_DIRTY) !== 0n;
  }
  protected nested(address: number, access: Access, tables: boolean): Translation {
    if (!secondary(this.vmcs, Secondary.Ept)) return { address };
    return this.#translator.translate(address, access, tables);
  }

  protected wake(): number {
    const { core, run } = this.parts;
    return core.vmxWake(run);
  }

  /**
   * VMLAUNCH or VMRESUME, unless an NMI has come while the host ran, which the loop around them notes (metal/vmx.h). An entry
   * that fails is the core's to explain.
   */
  protected enter(): void {
    if (this.apic.nmi) {
      this.apic.nmi = false;
      return this.#finishRun(ExitReason.ExceptionOrNmi, RunEnd.Nmi);
    }
    const outcome = this.operation.enter(this.block.getBigUint64(LAUNCHED, true) !== 0n);
    if (outcome === "succeed") {
      this.block.setBigUint64(LAUNCHED, 1n, true);
      return;
    }
    const failure = `the guest was not entered: ${this.operation.explain(outcome)}`;
    this.block.setBigUint64(END, outcome === "refused" ? RunEnd.Exit : RunEnd.Failed, true);
    try {
      this.parts.core.vmxExit(this.parts.run);
    } catch (error) {
      throw new Error(failure, { cause: error });
    }
    throw new Error(failure);
  }

  /** In the order of 26.2 and 7.9: NMI window, NMI, interrupt window, interrupt. */
  protected deliverPending(): boolean {
    return this.#openNmiWindow() || this.#deliverNmi() || this.#openInterruptWindow() || this.#deliverExternal();
  }

  #openNmiWindow(): boolean {
    const open = !this.#nmisBlocked && !this.vmcs.controls(Field.Interruptibility, Blocking.MovSs);
    if (!open || !this.vmcs.controls(Field.ProcessorBased, Primary.NmiWindow)) return false;
    this.exit(ExitReason.NmiWindow);
    return true;
  }

  #deliverNmi(): boolean {
    if (!this.apic.nmi) return false;
    if (this.interceptsNmis) {
      this.exitForNmi();
      return true;
    }
    if (this.#nmisBlocked || this.shadow) return false;
    this.apic.nmi = false;
    this.#blockNmis(true);
    this.deliver(NMI);
    return true;
  }

  #openInterruptWindow(): boolean {
    const open = this.interruptsEnabled && !this.shadow;
    if (!open || !this.vmcs.controls(Field.ProcessorBased, Primary.InterruptWindow)) return false;
    this.exit(ExitReason.InterruptWindow);
    return true;
  }

  /** Those that exit do so whatever IF is (26.5). */
  #deliverExternal(): boolean {
    if (this.apic.pending() < 0) return false;
    if (this.vmcs.controls(Field.PinBased, Pin.ExternalInterrupt)) {
      this.exitForInterrupt();
      return true;
    }
    if (!this.interruptsEnabled || this.shadow) return false;
    this.deliver({ type: EventType.External, vector: this.apic.acknowledge(), error: undefined });
    return true;
  }

  /** IRET is no exit: it ends the blocking by NMI. */
  protected returnFromNmi(): void {
    this.#blockNmis(false);
  }
}
