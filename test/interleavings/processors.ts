// Processors that take turns at every access of shared memory, in an order that a schedule chooses. Each runs the core's
// own code in the one linear memory; when another is to go on, its calls are left and gone on with later.
import { readFileSync } from "node:fs";
import { emptyBuffer, suspendable, type Suspensions } from "../../machine/suspension/asyncify.ts";
import { compileCore } from "../compile.ts";
import type { Schedule } from "./schedules.ts";

const CHANGES = ["atomicStore32", "atomicAdd32", "atomicExchange32", "atomicCompareExchange32"];
const POINTS = ["atomicLoad32", ...CHANGES, "pause", "openInterruptWindow"].map((name) => `metal.${name}`);
const OWN_POINTS = ["step", "runGuest", "waitForNmi"].map((name) => `operations.${name}`);
const SWITCHES = ["metal.resumeThread", "metal.suspendThread"];

const BUFFERS = 0x10_0000;
const BUFFER_SIZE = 0x1000;
const MEMORY_BASE = 8192;
/** Accesses in one schedule before it counts as endless. */
const PATIENCE = 20_000;

export type Operation = (...values: number[]) => number;

/** A call into the core that can be left in the middle. */
class Call {
  readonly buffer: number;
  readonly run: () => number;
  begun = false;

  constructor(buffer: number, run: () => number) {
    this.buffer = buffer;
    this.run = run;
  }
}

class Processor {
  /** The program, and above it the thread that it is in. */
  readonly calls: Call[];
  result = 0;
  finished = false;
  /** The changes that it may have seen when it last went on after a pause. */
  seen = 0;
  /** Why it cannot go on for now. */
  blocked: (() => boolean) | undefined;
  constructor(program: Call) {
    this.calls = [program];
  }
}

export interface World {
  /** What the core tells by `note`. */
  note?: (processor: number, what: number, value: number) => void;
  /** Atomic accesses, when they have been made. */
  accessed?: (processor: number, name: string, pointer: number, result: number) => void;
  /** The guest begins to run, with the translations of this generation of its address space. */
  entered?: (processor: number, translations: number) => void;
  left?: (processor: number) => void;
  /** How many exits of its own the guest still makes on each processor; NMIs end its runs besides. */
  exits?: number[];
}

export class Violation extends Error {}

/** One core and its processors, used for many schedules. */
export class Processors {
  readonly core: Record<string, Operation>;
  readonly nmi: boolean[] = [];
  current = 0;
  world: World = {};
  readonly #exports: Suspensions;
  readonly #words: Uint32Array;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #initial: Uint8Array | undefined;
  #processors: Processor[] = [];
  #threads = new Map<number, Call>();
  #schedule!: Schedule;
  #trace: number[] = [];
  #steps = 0;
  /** Counts what may have changed shared memory: who spins sees nothing new before the next. */
  #changes = 0;
  #state: "running" | "leaving" | "returning" = "running";
  #commandHigh = 0;

  constructor() {
    const compiled = compileCore("interleavings", "test/interleavings/core/operations.ts");
    const module = new WebAssembly.Module(readFileSync(suspendable(compiled, [...POINTS, ...OWN_POINTS, ...SWITCHES])));
    const instance = new WebAssembly.Instance(module, { metal: this.#metal(), operations: this.#own() });
    const exported = instance.exports as unknown as Suspensions & { memory: { buffer: ArrayBuffer } };
    this.#exports = exported;
    this.core = exported as unknown as Record<string, Operation>;
    this.#words = new Uint32Array(exported.memory.buffer);
    this.#bytes = new Uint8Array(exported.memory.buffer);
    this.#view = new DataView(exported.memory.buffer);
  }

  /** Ends preparation: every schedule begins with linear memory as it is now. `top` is the end of what is used. */
  ready(top = 0x2_0000): void {
    this.#initial = this.#bytes.slice(MEMORY_BASE, top);
  }

  /** The schedule so far, in digits that `replaying` takes. */
  get trace(): string {
    return this.#trace.map((processor) => processor.toString(36)).join("");
  }

  /** Runs one program on each processor to its end; returns their results. */
  run(programs: readonly (() => number)[], schedule: Schedule, world: World): number[] {
    if (this.#initial) this.#bytes.set(this.#initial, MEMORY_BASE);
    this.world = world;
    this.#schedule = schedule;
    this.#processors = programs.map((program, i) => new Processor(this.#call(i, program)));
    this.#threads.clear();
    this.#trace = [];
    this.#steps = 0;
    this.#changes = 0;
    this.#state = "running";
    this.nmi.length = 0;
    for (let next = this.#choose(-1); next >= 0; next = this.#next) {
      this.current = next;
      this.#goOn(this.#processors[next]!);
    }
    return this.#processors.map(({ result }) => result);
  }

  #next = -1;

  #call(slot: number, run: () => number): Call {
    const buffer = BUFFERS + slot * BUFFER_SIZE;
    emptyBuffer(this.#view, buffer, BUFFER_SIZE);
    return new Call(buffer, run);
  }

  #goOn(processor: Processor): void {
    const call = processor.calls.at(-1)!;
    if (call.begun) {
      this.#exports.asyncify_start_rewind(call.buffer);
      this.#state = "returning";
    }
    call.begun = true;
    const result = call.run();
    if (this.#state === "leaving") {
      this.#exports.asyncify_stop_unwind();
      this.#state = "running";
      return;
    }
    processor.calls.pop();
    if (processor.calls.length > 0) {
      this.#next = this.current;
      return;
    }
    processor.result = result;
    processor.finished = true;
    this.#changes++;
    this.#next = this.#choose(this.current);
  }

  /** The next processor; -1 if all have finished. */
  #choose(current: number): number {
    const able: number[] = [];
    let unfinished = 0;
    for (let i = 0; i < this.#processors.length; i++) {
      const processor = this.#processors[i]!;
      if (processor.finished) continue;
      unfinished++;
      if (!processor.blocked || !processor.blocked()) able.push(i);
    }
    if (able.length === 0) {
      if (unfinished > 0) throw new Violation(`${unfinished} processors wait for ever`);
      return -1;
    }
    if (++this.#steps > PATIENCE) throw new Violation("the processors come to no end");
    if (able.length === 1) return able[0]!;
    const chosen = this.#schedule.choose(able, current);
    this.#trace.push(chosen);
    return chosen;
  }

  /** A point at which another processor may go on before `act` is done. */
  #point(act: () => number): number {
    if (this.#state === "returning") {
      this.#exports.asyncify_stop_rewind();
      this.#state = "running";
      this.#processors[this.current]!.blocked = undefined;
      return act();
    }
    this.#next = this.#choose(this.current);
    if (this.#next === this.current) {
      this.#processors[this.current]!.blocked = undefined;
      return act();
    }
    return this.#leave();
  }

  #leave(): number {
    this.#exports.asyncify_start_unwind(this.#processors[this.current]!.calls.at(-1)!.buffer);
    this.#state = "leaving";
    return 0;
  }

  /** As `#point`, when the processor cannot go on for as long as `waiting`. */
  #wait(waiting: () => boolean, act: () => number): number {
    if (this.#state === "running") this.#processors[this.current]!.blocked = waiting;
    return this.#point(act);
  }

  #access(name: string, pointer: number, changed: ((old: number) => number) | undefined): number {
    return this.#point(() => {
      const at = pointer >>> 2;
      const old = this.#words[at]!;
      if (changed) {
        const value = changed(old) >>> 0;
        if (value !== old) this.#changes++;
        this.#words[at] = value;
      }
      this.world.accessed?.(this.current, name, pointer, old);
      return old;
    });
  }

  #metal(): Record<string, unknown> {
    const access = this.#access.bind(this);
    return {
      atomicLoad32: (pointer: number) => access("load", pointer, undefined),
      atomicStore32: (pointer: number, value: number) => access("store", pointer, () => value),
      atomicAdd32: (pointer: number, value: number) => access("add", pointer, (old) => old + value),
      atomicExchange32: (pointer: number, value: number) => access("exchange", pointer, () => value),
      atomicCompareExchange32: (pointer: number, expected: number, value: number) =>
        access("compare", pointer, (old) => (old === expected >>> 0 ? value : old)),
      pause: () => {
        const processor = this.#processors[this.current]!;
        this.#wait(
          () => this.#changes === processor.seen,
          () => (processor.seen = this.#changes),
        );
      },
      thisProcessor: () => this.current,
      openInterruptWindow: () =>
        this.#point(() => {
          this.#changes++; // leaving the guest is a plain store
          const taken = this.nmi[this.current] ? 1 << 9 : 0;
          this.nmi[this.current] = false;
          return taken;
        }),
      rdmsr: () => 0n, // no x2APIC mode
      wrmsr: () => undefined,
      tryWrmsr: () => 0,
      physRead32: (address: bigint) => ((Number(address) & 0xfff) === 0x20 ? this.current << 24 : 0),
      physWrite32: (address: bigint, value: number) => this.#writeApic(Number(address), value),
    };
  }

  /** Local APICs: an interrupt command with delivery mode NMI. The processor's number is its APIC's. */
  #writeApic(address: number, value: number): void {
    if ((address & 0xfff) === 0x310) this.#commandHigh = value >>> 24;
    else if ((address & 0xfff) === 0x300 && ((value >> 8) & 7) === 4) {
      this.nmi[this.#commandHigh] = true;
      this.#changes++;
    }
  }

  #own(): Record<string, unknown> {
    return {
      step: () => this.#point(() => 0),
      note: (what: number, value: number) => this.world.note?.(this.current, what, value),
      runGuest: (translations: number) => {
        const processor = this.current;
        if (this.#state === "running") this.world.entered?.(processor, translations);
        this.#wait(
          () => !this.nmi[processor] && !this.world.exits?.[processor],
          () => {
            this.world.left?.(processor);
            return this.nmi[processor] ? 0 : this.world.exits![processor]!--;
          },
        );
      },
      waitForNmi: () => {
        const processor = this.current;
        this.#wait(
          () => !this.nmi[processor],
          () => {
            this.nmi[processor] = false;
            return 0;
          },
        );
      },
    };
  }
}
