// What every instruction of the simulated guest goes through: it is put into memory, fetched, and either carried out by
// the processor or answered by the core. And what happens between instructions.
import type { Clock } from "../clock.ts";
import type { Cpuid } from "../cpuid.ts";
import type { Msrs } from "../msrs.ts";
import type { PortSpace } from "../ports.ts";
import { Code } from "./code.ts";
import { Apic } from "../apic.ts";
import { GuestException, Shutdown, type SvmProcessor, WaitsForStartup } from "./processor.ts";
import { Gpr } from "./state.ts";
import { Control, EventType, Exit, Misc1, type VmcbEvent } from "./vmcb.ts";

/** Exits from one instruction before it counts as stuck. */
const PATIENCE = 16;
/** EXITINFO1 of a MOV to a control register: bit 63, and the general register (APM 2, 15.8.1). */
const MOV_FROM_RAX = 1n << 63n;

/** What the guest reaches of the machine without the core. */
export interface GuestWorld {
  readonly ports: PortSpace;
  readonly msrs: Msrs;
  readonly cpuid: Cpuid;
  readonly clock: Clock;
  /** Called after each instruction: there other processors have their turn. */
  readonly onInstruction?: () => void;
}

export class Execution {
  readonly processor: SvmProcessor;
  /** Linear address at which instructions are put before they are executed. */
  code: number;
  protected readonly world: GuestWorld;

  constructor(processor: SvmProcessor, world: GuestWorld, code: number) {
    this.processor = processor;
    this.world = world;
    this.code = code;
  }

  get received(): readonly VmcbEvent[] {
    return this.processor.received;
  }

  /** How often the guest left for a reason. */
  exits(code: number): number {
    return this.processor.exits.get(code) ?? 0;
  }

  /** Vectors of the external interrupts received since the last call. */
  takeInterrupts(): number[] {
    const external = this.received.filter(({ type }) => type === EventType.External);
    this.processor.received.length = 0;
    return external.map(({ vector }) => vector);
  }

  /** The exception that an action meets; undefined if it meets none. */
  fault(action: () => unknown): GuestException | undefined {
    try {
      action();
      return undefined;
    } catch (error) {
      if (error instanceof GuestException) return error;
      throw error;
    }
  }

  /** STI: interrupts come after the instruction that follows. */
  sti(): void {
    this.processor.interruptsEnabled = true;
    this.processor.shadow = true;
  }

  cli(): void {
    this.processor.interruptsEnabled = false;
  }

  /** Turns interrupts on and takes what waits. */
  enableInterrupts(): void {
    this.processor.interruptsEnabled = true;
    this.processor.settle();
  }

  /** HLT: time passes until an event comes; false if none comes within `nanoseconds`. */
  hlt(nanoseconds = 100_000_000): boolean {
    const before = this.received.length;
    const end = this.world.clock.now + nanoseconds;
    this.step(Code.hlt, (next) => !this.exitsFor(Exit.Hlt, next));
    while (this.received.length === before && this.world.clock.now < end) {
      this.world.clock.advance(1000);
      this.processor.settle();
    }
    return this.received.length > before;
  }

  /** MOV to CR8: the task priority's class. */
  writeCr8(value: bigint): void {
    this.processor.setGpr(Gpr.Rax, value);
    this.step(Code.writeCr8, (next) => {
      if (this.exitsFor(Exit.WriteCr8, next, MOV_FROM_RAX)) return false;
      this.processor.apic.writeMmio(Apic.Tpr, 4, Number(value) << 4);
      return true;
    });
  }

  /** An exception of the guest's own making. */
  raise(vector: number, error?: number): void {
    const { processor } = this;
    if (processor.vmcb.intercepts(Exit.Exception + vector))
      processor.exit(Exit.Exception + vector, { info1: error ?? 0 });
    else processor.deliver({ type: EventType.Exception, vector, error });
    processor.settle();
  }

  tripleFault(): void {
    if (!this.interceptsMisc1(Misc1.Shutdown)) throw new Shutdown("shutdown is not intercepted");
    this.processor.exit(Exit.Shutdown);
    this.processor.settle();
  }

  /**
   * Executes one instruction: natively if `attempt` returns true, else as the core left it. One that INIT comes after,
   * such as the instruction that sent it, is the last.
   */
  protected step(bytes: readonly number[], attempt: (next: bigint) => boolean): void {
    this.#execute(bytes, attempt);
    this.world.onInstruction?.();
  }

  #execute(bytes: readonly number[], attempt: (next: bigint) => boolean): void {
    const { processor } = this;
    processor.settle();
    if (processor.waiting) throw new WaitsForStartup();
    processor.rip = BigInt(this.code);
    const { restarts } = processor;
    for (let tries = 0; tries < PATIENCE; tries++) {
      const at = processor.rip;
      if (!this.#fetch(bytes)) continue;
      const next = at + BigInt(bytes.length);
      const done = attempt(next);
      if (processor.restarts !== restarts) return;
      if (done) processor.rip = next;
      else this.#raiseInjected();
      if (processor.rip === next) {
        processor.shadow = false;
        processor.settle();
        return;
      }
      if (processor.rip !== at) throw new Error(`RIP went from ${at.toString(16)} to ${processor.rip.toString(16)}`);
      processor.settle();
    }
    throw new Error("the guest's instruction makes no progress");
  }

  /** Puts the instruction where RIP points, and fetches it through all page tables. */
  #fetch(bytes: readonly number[]): boolean {
    const { processor } = this;
    const start = Number(processor.rip);
    const last = start + bytes.length - 1;
    const first = processor.translate(start, { fetch: true });
    if (first === undefined || processor.translate(last, { fetch: true }) === undefined) return false;
    const { memory } = processor;
    bytes.forEach((byte, i) => memory.write8(first + i, byte));
    return true;
  }

  /** An exception that the core injected for this instruction. */
  #raiseInjected(): void {
    const { processor } = this;
    const word = processor.vmcb.get(Control.EventInjection);
    if (((word >> 8n) & 7n) !== BigInt(EventType.Exception)) return;
    const event = processor.takeInjection();
    if (event) processor.deliver(event);
  }

  protected interceptsMisc1(bit: number): boolean {
    return ((this.processor.vmcb.get32(Control.InterceptMisc1) >>> bit) & 1) === 1;
  }

  protected exitsFor(code: number, nextRip: bigint, info1 = 0n): boolean {
    if (!this.processor.vmcb.intercepts(code)) return false;
    this.processor.exit(code, { info1, nextRip });
    return true;
  }
}
