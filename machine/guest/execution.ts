// What every instruction of the simulated guest goes through: it is put into memory, fetched, and either carried out by
// the processor or answered by the core. And what happens between instructions.
import type { Clock } from "../clock.ts";
import type { Cpuid } from "../cpuid.ts";
import type { Msrs } from "../msrs.ts";
import type { PortSpace } from "../ports.ts";
import type { UnswitchedRegisters } from "../unswitched.ts";
import { Code } from "./code.ts";
import { EventType, type GuestEvent, GuestException, WaitsForStartup } from "./events.ts";
import type { ExitKind } from "./instruction.ts";
import type { GuestProcessor } from "./processor.ts";

/** Exits from one instruction before it counts as stuck. */
const PATIENCE = 16;

/** What the guest reaches of the machine without the core. */
export interface GuestWorld {
  readonly ports: PortSpace;
  readonly msrs: Msrs;
  readonly cpuid: Cpuid;
  readonly clock: Clock;
  readonly unswitched: UnswitchedRegisters;
  /** Called after each instruction: there other processors have their turn. */
  readonly onInstruction?: () => void;
}

export class Execution {
  readonly processor: GuestProcessor;
  /** Linear address at which instructions are put before they are executed. */
  code: number;
  protected readonly world: GuestWorld;

  constructor(processor: GuestProcessor, world: GuestWorld, code: number) {
    this.processor = processor;
    this.world = world;
    this.code = code;
  }

  get received(): readonly GuestEvent[] {
    return this.processor.received;
  }

  /** How often the guest left for a reason. */
  exits(kind: ExitKind): number {
    return this.processor.exits.get(kind) ?? 0;
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

  /** MOV to SS: neither interrupts nor NMIs come before the instruction that follows. */
  movSs(): void {
    this.processor.blockByMovSs();
  }

  /** HLT: time passes until an event comes; false if none comes within `nanoseconds`, and then it is given up. */
  hlt(nanoseconds = 100_000_000): boolean {
    const { processor, received } = this;
    const before = received.length;
    const end = this.world.clock.now + nanoseconds;
    this.step(Code.hlt, (next) => {
      if (processor.intercept({ kind: "hlt" }, next)) return false;
      processor.halted = true;
      return true;
    });
    while (received.length === before && this.world.clock.now < end) {
      this.world.clock.advance(1000);
      processor.settle();
    }
    processor.halted = false;
    return received.length > before;
  }

  /** An exception of the guest's own making. */
  raise(vector: number, error?: number): void {
    const { processor } = this;
    const event = { type: EventType.Exception, vector, error };
    if (!processor.interceptException(event)) processor.deliver(event);
    processor.settle();
  }

  tripleFault(): void {
    this.processor.tripleFault();
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
    if (processor.injection?.type !== EventType.Exception) return;
    const event = processor.takeInjection();
    if (event) processor.deliver(event);
  }
}
