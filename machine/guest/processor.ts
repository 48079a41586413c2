// One processor in guest mode, as far as AMD-V and VT-x are alike: its exits answered by the core, and the events that come
// between a guest's instructions.
import type { LocalApic } from "../apic.ts";
import { type CoreExports, trapKind } from "../core.ts";
import type { PhysicalMemory } from "../memory.ts";
import type { UnswitchedRegisters } from "../unswitched.ts";
import { EventType, type GuestEvent, GuestException, Vector } from "./events.ts";
import type { ExitKind, Instruction } from "./instruction.ts";
import type { NestedFault } from "./nested.ts";
import { type Access, GuestPageFault, translateLinear, type Translation } from "./paging.ts";
import { ProcessorState, Segment } from "./state.ts";

/** Where the guest's handlers of interrupts begin, and their IRET is. */
const HANDLER = 0x9000n;
const HANDLER_END = 0x9ff0n;
/** Exits without the guest making progress before a test is told that it never will. */
export const PATIENCE = 64;

export interface GuestProcessorParts {
  readonly core: CoreExports;
  /** The core's run block. */
  readonly run: number;
  readonly memory: PhysicalMemory;
  readonly apic: LocalApic;
  readonly unswitched: UnswitchedRegisters;
  /** A trap of the core fails the test at once, rather than be reported to the core. */
  readonly forbidTraps: boolean;
}

export abstract class GuestProcessor extends ProcessorState {
  /** Exits so far. */
  readonly exits = new Map<ExitKind, number>();
  /** Events that the guest was given, in order. */
  readonly received: GuestEvent[] = [];
  /** The guest's interrupt and exception handlers by vector; they run with IF clear and all registers saved. */
  readonly handlers = new Map<number, (event: GuestEvent) => void>();
  /** Traps of the core that its own handler dealt with. */
  readonly traps: Error[] = [];
  /** Called after each exit that the core has answered. */
  onExit: (kind: ExitKind) => void = () => undefined;
  /** Called when the guest is about to begin where INIT or a start-up interrupt sent it. */
  onRestart: () => void = () => undefined;
  /** It waits for a start-up interrupt: the core said so. */
  waiting = false;
  /** How often its translations were forgotten. */
  flushes = 0;
  /** How often INIT or a start-up interrupt changed where it executes. */
  restarts = 0;
  readonly run: number;
  readonly memory: PhysicalMemory;
  readonly apic: LocalApic;
  /** Events that were injected while the guest had no turn: their handlers are still to run, the last one first. */
  readonly #begun: GuestEvent[] = [];
  protected readonly parts: GuestProcessorParts;

  constructor(parts: GuestProcessorParts) {
    super();
    this.parts = parts;
    this.run = parts.run;
    this.memory = parts.memory;
    this.apic = parts.apic;
  }

  /** Has the core answer if the controls say that this instruction, at RIP and before `next`, exits. */
  abstract intercept(instruction: Instruction, next: bigint): boolean;
  /** The same for an exception that the guest raises. */
  abstract interceptException(event: GuestEvent): boolean;
  abstract tripleFault(): void;
  /** Exits for what is no instruction's doing. */
  abstract exitForInterrupt(): void;
  abstract exitForNmi(): void;
  /** An access that the nested tables do not allow; `delivering`, if it was the processor's own to bring the guest an event. */
  abstract exitForFault(fault: NestedFault, delivering?: GuestEvent): void;
  /** An NMI ends the guest's run. */
  abstract get interceptsNmis(): boolean;

  /** What the entry brings the guest; it is taken out of the entry's controls. */
  abstract takeInjection(): GuestEvent | undefined;
  /** The same, left where it is. */
  abstract get injection(): GuestEvent | undefined;
  /** Brings the guest what else comes before its next instruction; false if there is nothing. */
  protected abstract deliverPending(): boolean;
  /** The IRET of the guest's NMI handler, which is at RIP. */
  protected abstract returnFromNmi(): void;
  /** A run of the guest begins. */
  protected abstract enter(): void;
  /** Has the core answer the NMI for which a processor without a start-up interrupt waits. */
  protected abstract wake(): number;

  /** An MSR that is switched with the guest; undefined if this one is not. */
  abstract switchedMsr(index: number): bigint | undefined;
  /** False if it is not switched. */
  abstract setSwitchedMsr(index: number, value: bigint): boolean;
  /** A MOV to CR0, CR2, CR3 or CR4 that does not exit. */
  abstract writeControlRegister(number: number, value: bigint): void;
  abstract get tscOffset(): bigint;
  /** VMMCALL or VMCALL. */
  abstract readonly hypercallBytes: readonly number[];
  protected abstract nested(address: number, access: Access, tables: boolean): Translation;
  /** Guest tables are read as if they were written, to set their accessed bits. */
  protected abstract get writesTables(): boolean;

  /** An NMI waits that would end the guest's run, or the wait for a start-up interrupt. */
  get canTakeNmi(): boolean {
    return this.apic.nmi && (this.waiting || this.interceptsNmis);
  }

  /**
   * Takes an NMI while another processor has its turn. What was injected has reached the guest by now, and a shadow is
   * over; the guest's handlers run when it has its turn again.
   */
  takeNmi(): void {
    if (this.waiting) return this.#wake();
    const injected = this.takeInjection();
    if (injected) {
      this.#checkInjection(injected);
      this.#begun.push(injected);
    }
    this.shadow = false;
    this.exitForNmi();
  }

  /** Delivers everything that comes before the guest's next instruction. */
  settle(): void {
    for (let round = 0; round < PATIENCE; round++) if (!this.#deliverNext()) return;
    throw new Error("interrupts came without end before the guest's next instruction");
  }

  /** Gives the guest an event as its IDT would. */
  deliver(event: GuestEvent): void {
    const { type, vector, error } = event;
    this.received.push(event);
    this.halted = false;
    const handler = this.handlers.get(vector);
    if (!handler && type === EventType.Exception)
      throw new GuestException(vector, error, vector === Vector.PageFault ? this.controlRegister(2) : undefined);
    if (handler || type === EventType.Nmi) this.#runHandler(event, handler);
  }

  /** Linear to physical, for an access that succeeds or exits; undefined if it exited. */
  translate(address: number, access: Access): number | undefined {
    const found = this.tryTranslate(address, access);
    if ("address" in found) return found.address;
    this.exitForFault(found.fault);
    return undefined;
  }

  protected tryTranslate(address: number, access: Access): Translation {
    try {
      const tableAccess = { write: this.writesTables };
      const table = (at: number): Translation => this.nested(at, tableAccess, true);
      const linear = translateLinear(this.memory, this, address, access, table);
      return "address" in linear ? this.nested(linear.address, access, false) : linear;
    } catch (error) {
      if (!(error instanceof GuestPageFault)) throw error;
      throw new GuestException(Vector.PageFault, error.code, BigInt(error.address));
    }
  }

  /** An exit that the vendor's processor has noted: its answer by the core, and the entry after it. */
  protected finishExit(kind: ExitKind, answer: () => number): void {
    this.exits.set(kind, (this.exits.get(kind) ?? 0) + 1);
    this.#answer(answer);
    this.onExit(kind);
    if (!this.waiting) this.enter();
  }

  /** The NMI that ends HLT goes to the host, and nothing of it is left. */
  #wake(): void {
    this.apic.nmi = false;
    this.#answer(() => this.wake());
    if (!this.waiting) this.enter();
  }

  #answer(call: () => number): void {
    const { selector } = this.segment(Segment.Cs);
    const waited = this.waiting;
    try {
      this.waiting = call() !== 0;
    } catch (error) {
      if (this.parts.forbidTraps || !(error instanceof WebAssembly.RuntimeError)) throw error;
      this.traps.push(error);
      if (!this.parts.core.trap(trapKind(error), 0n)) throw error;
      this.waiting = false;
    }
    if (this.waiting === waited && this.segment(Segment.Cs).selector === selector) return;
    this.restarts++;
    this.#begun.length = 0;
    if (!this.waiting) this.onRestart();
  }

  #deliverNext(): boolean {
    if (this.waiting) {
      if (!this.apic.nmi) return false;
      this.#wake();
      return true;
    }
    const injected = this.takeInjection();
    if (injected) {
      this.#checkInjection(injected);
      this.deliver(injected);
      return true;
    }
    const begun = this.#begun.pop();
    if (begun) {
      this.deliver(begun);
      return true;
    }
    return this.deliverPending();
  }

  /** The processor would deliver it all the same, but the guest is not ready for it: a mistake of the core. */
  #checkInjection({ type, vector }: GuestEvent): void {
    if (type !== EventType.External || (this.interruptsEnabled && !this.shadow)) return;
    throw new Error(`vector ${vector} was injected while the guest's interrupts were off`);
  }

  /** The handler up to its IRET, after which the guest goes on where it was. */
  #runHandler(event: GuestEvent, handler: (event: GuestEvent) => void = () => undefined): void {
    const registers = Array.from({ length: 16 }, (_, i) => this.gpr(i));
    const { rip, rflags, restarts } = this;
    this.interruptsEnabled = false;
    this.rip = HANDLER;
    handler(event);
    if (this.restarts === restarts && event.type === EventType.Nmi) {
      this.rip = HANDLER_END;
      this.returnFromNmi();
    }
    if (this.restarts !== restarts) return;
    registers.forEach((value, i) => this.setGpr(i, value));
    this.rip = rip;
    this.rflags = rflags;
  }
}
