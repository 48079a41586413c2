// Processors that take turns at every access of shared memory, in an order that a schedule chooses. Each runs the core's
// own code in the one linear memory; when another is to go on, its calls are left and gone on with later.
import { readFileSync } from "node:fs";
import { emptyBuffer, suspendable, type Suspensions } from "../../machine/suspension/asyncify.ts";
import { compileCore } from "../compile.ts";
import type { Schedule } from "./schedules.ts";

const CHANGES = ["atomicStore32", "atomicAdd32", "atomicExchange32", "atomicCompareExchange32"];
const PHYSICAL = ["physRead32", "physRead64", "physWrite64", "physCompareExchange32", "physCompareExchange64"];
const POINTS = ["atomicLoad32", ...CHANGES, ...PHYSICAL, "pause", "openInterruptWindow"].map((name) => `metal.${name}`);
const OWN_POINTS = ["step", "runGuest", "waitForNmi", "trap"].map((name) => `host.${name}`);
const SWITCHES = ["metal.resumeThread", "metal.suspendThread"];

/** Between the objects of the core and the pages that it gives out. */
const BUFFERS = 0xe_0000;
const BUFFER_SIZE = 0x1000;
const MEMORY_BASE = 8192;
/** Accesses in one schedule before it counts as endless. */
const PATIENCE = 20_000;

export type Operation = (...values: number[]) => number;

/** A call into the core that can be left in the middle. */
class Call {
  readonly buffer: number;
  readonly run: () => number;
  /** If it is a thread's. */
  readonly stack: number | undefined;
  begun = false;

  constructor(buffer: number, run: () => number, stack?: number) {
    this.buffer = buffer;
    this.run = run;
    this.stack = stack;
  }
}

class Processor {
  /** The program, and above it the thread that it is in. */
  readonly calls: Call[];
  result = 0;
  finished = false;
  /** The changes that it may have seen when it last went on after a pause. */
  seen = 0;
  /** It waits by PAUSE: it goes on when all others do too, lest it spin for ever. */
  pausing = false;
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
  /** A thread begins or goes on. */
  resumed?: (processor: number, stack: number) => void;
  /** What a processor goes on with after a trap. */
  recover?: () => number;
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
  #initialNmi: boolean[] = [];
  #initial: Uint8Array | undefined;
  #processors: Processor[] = [];
  /** Threads that are suspended, and the stacks of those that are not, by stack. */
  readonly #threads = new Map<number, Call>();
  readonly #inUse = new Set<number>();
  #schedule!: Schedule;
  #trace: number[] = [];
  /** Whether a schedule is under way: before and after, the core is called as if it were alone. */
  #running = false;
  /** What the TSC says; it goes on with every look at it. */
  time = 0;
  #steps = 0;
  /** Counts what may have changed shared memory: who spins sees nothing new before the next. */
  #changes = 0;
  #state: "running" | "leaving" | "returning" = "running";
  #commandHigh = 0;

  constructor() {
    const compiled = compileCore("interleavings", "test/interleavings/core/operations.ts");
    const module = new WebAssembly.Module(readFileSync(suspendable(compiled, [...POINTS, ...OWN_POINTS, ...SWITCHES])));
    const instance = new WebAssembly.Instance(module, { metal: this.#metal(), host: this.#own() });
    const exported = instance.exports as unknown as Suspensions & { memory: { buffer: ArrayBuffer } };
    this.#exports = exported;
    this.core = exported as unknown as Record<string, Operation>;
    this.#words = new Uint32Array(exported.memory.buffer);
    this.#bytes = new Uint8Array(exported.memory.buffer);
    this.#view = new DataView(exported.memory.buffer);
  }

  /** Ends preparation: every schedule begins with linear memory and NMIs as they are now. `top` is the end of what is used. */
  ready(top = 0x2_0000): void {
    this.#initialNmi = [...this.nmi];
    this.#initial = this.#bytes.slice(MEMORY_BASE, top);
  }

  /** 64 bits of linear memory. */
  read64(pointer: number): bigint {
    return this.#view.getBigUint64(pointer, true);
  }

  /** The schedule so far, in digits that `replaying` takes. */
  get trace(): string {
    return this.#trace.map((processor) => processor.toString(36)).join("");
  }

  /** Runs one program on each processor to its end; returns their results. */
  run(programs: readonly (() => number)[], schedule: Schedule, world: World): number[] {
    this.#running = false;
    if (this.#initial) this.#bytes.set(this.#initial, MEMORY_BASE);
    this.world = world;
    this.#schedule = schedule;
    this.#processors = programs.map((program, i) => new Processor(this.#call(i, program)));
    this.#threads.clear();
    this.#inUse.clear();
    this.#trace = [];
    this.#steps = 0;
    this.#changes = 0;
    this.#state = "running";
    this.nmi.splice(0, Infinity, ...this.#initialNmi);
    this.time = 0;
    this.#running = true;
    for (let next = this.#choose(-1); next >= 0; next = this.#next) {
      this.current = next;
      this.#goOn(this.#processors[next]!);
    }
    this.#running = false;
    return this.#processors.map(({ result }) => result);
  }

  #next = -1;

  #call(slot: number, run: () => number, stack?: number): Call {
    const buffer = BUFFERS + slot * BUFFER_SIZE;
    emptyBuffer(this.#view, buffer, BUFFER_SIZE);
    return new Call(buffer, run, stack);
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
    const ended = processor.calls.pop()!;
    if (ended.stack !== undefined) this.#inUse.delete(ended.stack);
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
    let able: number[] = [];
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
    const busy = able.filter((i) => !this.#processors[i]!.pausing);
    if (busy.length > 0) able = busy;
    else if (able.length > 1) able = able.filter((i) => i !== current);
    if (able.length === 1) return able[0]!;
    const chosen = this.#schedule.choose(able, current);
    this.#trace.push(chosen);
    return chosen;
  }

  /** A point at which another processor may go on before `act` is done. */
  #point(act: () => number): number {
    return this.#pointWith(0, act);
  }

  /** The same; `nothing` is a result of its type. */
  #pointWith<T>(nothing: T, act: () => T): T {
    if (!this.#running) return act();
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
    this.#leave();
    return nothing;
  }

  #leave(): void {
    this.#exports.asyncify_start_unwind(this.#processors[this.current]!.calls.at(-1)!.buffer);
    this.#state = "leaving";
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

  /** 8 bytes of memory at a physical address, which is the pointer. */
  #access64(address: bigint, changed?: (old: bigint) => bigint): bigint {
    return this.#pointWith(0n, () => {
      const old = this.#view.getBigUint64(Number(address), true);
      if (changed) this.#view.setBigUint64(Number(address), BigInt.asUintN(64, changed(old)), true);
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
        processor.pausing = true;
        this.#wait(
          () => this.#changes === processor.seen,
          () => {
            processor.pausing = false;
            return (processor.seen = this.#changes);
          },
        );
      },
      readPkru: () => 0,
      thisProcessor: () => this.current,
      physOf: (pointer: number) => BigInt(pointer >>> 0),
      fence: () => undefined,
      openInterruptWindow: () =>
        this.#point(() => {
          this.#changes++; // leaving the guest is a plain store
          const taken = this.nmi[this.current] ? 1 << 9 : 0;
          this.nmi[this.current] = false;
          return taken;
        }),
      rdmsr: () => 0n, // no x2APIC mode
      in8: () => 0, // no device has caused an NMI
      wrmsr: () => undefined,
      tryWrmsr: () => 0,
      readTsc: () => {
        this.#changes++;
        return BigInt(this.time++);
      },
      resumeThread: (stack: number, fresh: number) => this.#resume(stack, fresh !== 0),
      suspendThread: () => this.#suspend(),
      physRead32: (address: bigint) => {
        if (address < this.#bytes.length) return access("read", Number(address), undefined);
        return (Number(address) & 0xfff) === 0x20 ? this.current << 24 : 0;
      },
      physRead64: (address: bigint) => this.#access64(address),
      physWrite64: (address: bigint, value: bigint) => this.#access64(address, () => value),
      physCompareExchange32: (address: bigint, expected: number, value: number) =>
        access("compare", Number(address), (old) => (old === expected >>> 0 ? value : old)),
      physCompareExchange64: (address: bigint, expected: bigint, value: bigint) =>
        this.#access64(address, (old) => (old === BigInt.asUintN(64, expected) ? value : old)),
      physWrite32: (address: bigint, value: number) => this.#writeApic(Number(address), value),
    };
  }

  /** Has the core know so many processors; each is added by itself, as at boot. */
  add(count: number): void {
    for (this.current = 0; this.current < count; this.current++) this.core.addProcessor!(this.current);
    this.current = 0;
  }

  /** The processor leaves its program for a thread; when it is back, the call is made again. */
  #resume(stack: number, fresh: boolean): void {
    if (this.#state === "returning") {
      this.#exports.asyncify_stop_rewind();
      this.#state = "running";
      return;
    }
    const kept = this.#threads.get(stack);
    if (!fresh && !kept) throw new Violation(`stack ${stack} is gone on with, but not suspended`);
    if (fresh && kept) throw new Violation(`stack ${stack} is given to two threads`);
    if (this.#inUse.has(stack)) throw new Violation(`stack ${stack} is used twice at a time`);
    this.#threads.delete(stack);
    this.#inUse.add(stack);
    this.world.resumed?.(this.current, stack);
    const slot = this.#processors.length + stack;
    const call = kept ?? this.#call(slot, () => this.core.thread!(stack), stack);
    this.#leave();
    this.#processors[this.current]!.calls.push(call);
    this.#next = this.current;
  }

  #suspend(): void {
    const { calls } = this.#processors[this.current]!;
    if (this.#state === "returning") {
      this.#exports.asyncify_stop_rewind();
      this.#state = "running";
      return;
    }
    this.#leave();
    const call = calls.pop()!;
    this.#threads.set(call.stack!, call);
    this.#inUse.delete(call.stack!);
    this.#next = this.current;
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
      trap: () => {
        this.#leave();
        const processor = this.#processors[this.current]!;
        for (const { stack } of processor.calls) if (stack !== undefined) this.#inUse.delete(stack);
        processor.calls.splice(0, Infinity, this.#call(this.current, this.world.recover!));
        this.#next = this.current;
      },
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
