// One processor in guest mode: #VMEXIT, VMRUN and the events between instructions (APM 2, 15.5, 15.6, 15.20 and 15.21).
import type { LocalApic } from "../apic.ts";
import type { PhysicalMemory } from "../memory.ts";
import { KeptState } from "./clean.ts";
import { type CoreExports, trapKind } from "./core.ts";
import { ProcessorState } from "./state.ts";
import { GuestPageFault, type Translation, Translator } from "./translation.ts";
import { Control, encodeEvent, EVENT_VALID, EventType, Exit, parseEvent, Save, Vmcb, type VmcbEvent } from "./vmcb.ts";

/** Offsets in the GuestRun block. */
const GUEST_VMCB = 0x90;

const V_IRQ = 1n << 8n;
const V_IGNORE_TPR = 1n << 20n;
const V_INTR_MASKING = 1n << 24n;
/** Instruction bytes that the VMCB has room for. */
const FETCHED = 15;
/** Where the guest's handlers of interrupts begin, and their IRET is. */
const HANDLER = 0x9000n;
const HANDLER_END = 0x9ff0n;
/** Exits without the guest making progress before a test is told that it never will. */
const PATIENCE = 64;

/** An exception that the guest's instruction met. */
export class GuestException extends Error {
  readonly vector: number;
  readonly error: number | undefined;
  /** CR2, for a page fault. */
  readonly address: bigint | undefined;
  constructor(vector: number, error?: number, address?: bigint) {
    super(`exception ${vector}${error === undefined ? "" : `, error ${error}`}`);
    this.vector = vector;
    this.error = error;
    this.address = address;
  }
}

/** The processor was shut down by a triple fault that nobody intercepted. */
export class Shutdown extends Error {}

/** An instruction cannot be executed: the processor waits for a start-up interrupt. */
export class WaitsForStartup extends Error {}

export interface ExitDetails {
  readonly info1?: bigint | number;
  readonly info2?: bigint | number;
  readonly nextRip?: bigint;
  /** The bytes that the processor fetched, where memory may have others by now. */
  readonly fetched?: readonly number[];
  /** An event that was being delivered. */
  readonly interrupted?: VmcbEvent;
}

export interface ProcessorOptions {
  readonly nextRipSave: boolean;
  readonly decodeAssists: boolean;
  readonly flushByAsid?: boolean;
  readonly vmcbClean?: boolean;
  /** A trap of the core fails the test at once, rather than be reported to the core. */
  readonly forbidTraps: boolean;
}

export class SvmProcessor extends ProcessorState {
  readonly translator: Translator;
  /** Exits so far, by exit code; VMEXIT_INVALID under -1. */
  readonly exits = new Map<number, number>();
  /** Events that the guest was given, in order. */
  readonly received: VmcbEvent[] = [];
  /** The guest's interrupt and exception handlers by vector; they run with IF clear and all registers saved. */
  readonly handlers = new Map<number, (event: VmcbEvent) => void>();
  /** Traps of the core that its own handler dealt with. */
  readonly traps: Error[] = [];
  /** Called after each exit that the core has answered. */
  onExit: (code: number) => void = () => undefined;
  /** Called when the guest is about to begin where INIT or a start-up interrupt sent it. */
  onRestart: () => void = () => undefined;
  readonly run: number;
  readonly memory: PhysicalMemory;
  readonly apic: LocalApic;
  readonly #core: CoreExports;
  readonly #options: ProcessorOptions;
  readonly #kept: KeptState | undefined;
  /** An NMI that was not injected is being handled: it holds the next back, until IRET (APM 2, 8.2.3). */
  #nmiBlocked = false;
  /** It waits for a start-up interrupt: the core said so. */
  waiting = false;
  /** How often INIT or a start-up interrupt changed where it executes. */
  restarts = 0;
  /** Events that were injected while the guest had no turn: their handlers are still to run, the last one first. */
  readonly #begun: VmcbEvent[] = [];

  constructor(core: CoreExports, run: number, memory: PhysicalMemory, apic: LocalApic, options: ProcessorOptions) {
    const registers = new DataView(core.memory.buffer, run);
    super(new Vmcb(memory, Number(registers.getBigUint64(GUEST_VMCB, true))), registers);
    this.#core = core;
    this.run = run;
    this.memory = memory;
    this.apic = apic;
    this.#options = options;
    this.translator = new Translator(memory, this.vmcb, options.flushByAsid);
    this.#kept = options.vmcbClean ? new KeptState(this.vmcb) : undefined;
    this.#enter();
  }

  /** A #VMEXIT, its answer by the core, and the VMRUN after it. */
  exit(code: number | bigint, { info1 = 0, info2 = 0, nextRip, fetched, interrupted }: ExitDetails = {}): void {
    const { vmcb } = this;
    vmcb.set(Control.ExitCode, BigInt(code));
    // Of a MOV to a control register only decode assists tell (15.8.1)
    const told = code !== Exit.WriteCr8 || this.#options.decodeAssists;
    vmcb.set(Control.ExitInfo1, told ? BigInt(info1) : 0n);
    vmcb.set(Control.ExitInfo2, BigInt(info2));
    vmcb.set(Control.ExitIntInfo, interrupted ? encodeEvent(interrupted) : 0n);
    vmcb.set(Control.EventInjection, vmcb.get(Control.EventInjection) & ~EVENT_VALID);
    vmcb.set(Control.NextRip, this.#options.nextRipSave && nextRip !== undefined ? nextRip : 0n);
    vmcb.set8(Control.FetchedCount, 0);
    if (this.#options.decodeAssists && code === Exit.NestedPageFault) this.#noteInstruction(fetched);
    this.#kept?.exit();
    const counted = code === Exit.Invalid ? -1 : Number(code);
    this.exits.set(counted, (this.exits.get(counted) ?? 0) + 1);
    this.#answer(() => this.#core.exit(this.run));
    this.onExit(counted);
    if (!this.waiting) this.#enter();
  }

  /** An NMI waits that would end the guest's run, or the wait for a start-up interrupt. */
  get canTakeNmi(): boolean {
    return this.apic.nmi && (this.waiting || (this.vmcb.intercepts(Exit.Nmi) && !this.#nmiBlocked));
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
    this.exit(Exit.Nmi);
  }

  /** The NMI that ends HLT goes to the host, and nothing of it is left. */
  #wake(): void {
    this.apic.nmi = false;
    this.#answer(() => this.#core.wake(this.run));
    if (!this.waiting) this.#enter();
  }

  /** The event that VMRUN would inject now; it is taken out of the VMCB. */
  takeInjection(): VmcbEvent | undefined {
    const word = this.vmcb.get(Control.EventInjection);
    const event = parseEvent(word);
    if (event) this.vmcb.set(Control.EventInjection, word & ~EVENT_VALID);
    return event;
  }

  /** Delivers everything that comes before the guest's next instruction. */
  settle(): void {
    for (let round = 0; round < PATIENCE; round++) if (!this.#deliverNext()) return;
    throw new Error("interrupts came without end before the guest's next instruction");
  }

  /** Gives the guest an event as its IDT would. */
  deliver(event: VmcbEvent): void {
    const { type, vector, error } = event;
    this.received.push(event);
    const handler = this.handlers.get(vector);
    if (!handler && type === EventType.Exception) throw this.#exception(vector, error);
    if (handler || type === EventType.Nmi) this.#runHandler(event, handler);
  }

  /** Linear to physical, for an access that succeeds or exits; undefined if it exited. */
  translate(address: number, access: { write?: boolean; fetch?: boolean }): number | undefined {
    const guestPhysical = this.#orFault(() => this.translator.linear(address, access));
    if (guestPhysical === undefined) return undefined;
    return this.#orFault(() => this.translator.nested(guestPhysical, access));
  }

  #orFault(translation: () => Translation): number | undefined {
    try {
      const result = translation();
      if ("address" in result) return result.address;
      this.exit(Exit.NestedPageFault, { info1: result.fault.info, info2: result.fault.address });
      return undefined;
    } catch (error) {
      if (!(error instanceof GuestPageFault)) throw error;
      throw new GuestException(14, error.code, BigInt(error.address));
    }
  }

  /** Decode assists: the bytes from RIP on, as far as they can be fetched (15.8.4). */
  #noteInstruction(fetched = this.#fetch()): void {
    this.vmcb.set8(Control.FetchedCount, fetched.length);
    fetched.forEach((byte, i) => this.vmcb.set8(Control.FetchedBytes + i, byte));
  }

  #fetch(): readonly number[] {
    const linear = this.translator.linear(Number(this.rip), { fetch: true });
    const found = "address" in linear ? this.translator.nested(linear.address, { fetch: true }) : linear;
    if ("fault" in found) return [];
    return [...this.memory.readBytes(found.address, Math.min(FETCHED, 4096 - (found.address % 4096)))];
  }

  #answer(call: () => number): void {
    const selector = this.vmcb.get16(Save.Cs);
    const waited = this.waiting;
    try {
      this.waiting = call() !== 0;
    } catch (error) {
      if (this.#options.forbidTraps || !(error instanceof WebAssembly.RuntimeError)) throw error;
      this.traps.push(error);
      if (!this.#core.trap(trapKind(error), 0n)) throw error;
      this.waiting = false;
    }
    if (this.waiting === waited && this.vmcb.get16(Save.Cs) === selector) return;
    this.restarts++;
    this.#begun.length = 0;
    if (!this.waiting) this.onRestart();
  }

  /** VMRUN: its checks, which end in another exit if one fails. */
  #enter(): void {
    const fault = this.vmcb.fault();
    if (fault === undefined) {
      this.#kept?.entry();
      this.translator.entry();
      return;
    }
    const invalid = (this.exits.get(-1) ?? 0) + 1;
    if (invalid > PATIENCE) throw new Error(`VMRUN keeps failing: ${fault}`);
    this.exit(Exit.Invalid);
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
    return this.#deliverNmi() || this.#deliverExternal() || this.#deliverVirtual();
  }

  /** The processor would deliver it all the same, but the guest is not ready for it: a mistake of the core. */
  #checkInjection({ type, vector }: VmcbEvent): void {
    if (type !== EventType.External || (this.interruptsEnabled && !this.shadow)) return;
    throw new Error(`vector ${vector} was injected while the guest's interrupts were off`);
  }

  #deliverNmi(): boolean {
    if (!this.apic.nmi || this.#nmiBlocked || this.shadow) return false;
    if (this.vmcb.intercepts(Exit.Nmi)) this.exit(Exit.Nmi);
    else {
      this.apic.nmi = false;
      this.#nmiBlocked = true;
      this.deliver({ type: EventType.Nmi, vector: 2, error: undefined });
      this.#nmiBlocked = false;
    }
    return true;
  }

  #deliverExternal(): boolean {
    const masking = (this.vmcb.get(Control.VirtualInterrupt) & V_INTR_MASKING) !== 0n;
    const open = masking || (this.interruptsEnabled && !this.shadow);
    if (!open || this.apic.pending() < 0) return false;
    if (this.vmcb.intercepts(Exit.Intr)) this.exit(Exit.Intr);
    else this.deliver({ type: EventType.External, vector: this.apic.acknowledge(), error: undefined });
    return true;
  }

  #deliverVirtual(): boolean {
    const control = this.vmcb.get(Control.VirtualInterrupt);
    if (!(control & V_IRQ) || !this.interruptsEnabled || this.shadow) return false;
    const ready = (control & V_IGNORE_TPR) !== 0n || ((control >> 16n) & 15n) > (control & 15n);
    if (!ready) return false;
    if (this.vmcb.intercepts(Exit.Vintr)) this.exit(Exit.Vintr);
    else {
      this.vmcb.set(Control.VirtualInterrupt, control & ~V_IRQ);
      this.deliver({ type: EventType.External, vector: Number((control >> 32n) & 0xffn), error: undefined });
    }
    return true;
  }

  /** The handler up to its IRET, after which the guest goes on where it was. */
  #runHandler(event: VmcbEvent, handler: (event: VmcbEvent) => void = () => undefined): void {
    const registers = Array.from({ length: 16 }, (_, i) => this.gpr(i));
    const { rip, rflags, restarts } = this;
    this.interruptsEnabled = false;
    this.rip = HANDLER;
    handler(event);
    if (this.restarts === restarts && event.type === EventType.Nmi) this.#leaveNmiHandler();
    if (this.restarts !== restarts) return;
    registers.forEach((value, i) => this.setGpr(i, value));
    this.rip = rip;
    this.rflags = rflags;
  }

  /** IRET exits before it is carried out: an NMI injected then would run on the stack that the IRET still needs. */
  #leaveNmiHandler(): void {
    this.rip = HANDLER_END;
    const { restarts } = this;
    let code: number | undefined = this.vmcb.intercepts(Exit.Iret) ? Exit.Iret : undefined;
    while (code !== undefined && this.restarts === restarts) {
      this.exit(code);
      const injected = parseEvent(this.vmcb.get(Control.EventInjection));
      if (injected?.type === EventType.Nmi) throw new Error("an NMI was injected before the last one's IRET");
      code = this.canTakeNmi ? Exit.Nmi : undefined;
    }
  }

  #exception(vector: number, error: number | undefined): GuestException {
    return new GuestException(vector, error, vector === 14 ? this.vmcb.get(Save.Cr2) : undefined);
  }
}
