// The core's half of the scheduler's tests: threads, and processors that give them their turns.
import { atomicAdd32, atomicCompareExchange32, atomicLoad32, openInterruptWindow, pause } from "../../../src/metal";
import { TicketLock } from "../../../src/threads/lock";
import { STACKS, scheduler } from "../../../src/threads/scheduler";
import { ANYWHERE, Thread, ThreadState } from "../../../src/threads/thread";
import { processors } from "../../../src/vcpu/processors";
import { Note, note, runGuest, step, trap, WINDOW_NMI } from "./host";
import { TestVcpu } from "./vcpu";

/** What a test's thread does, so many rounds. */
const enum Work {
  /** Lets others have their turn after each round. */
  Turns,
  /** Waits in each round for an item. */
  Items,
  /** Sleeps for some time in each round. */
  Times,
  /** Traps in its last round. */
  Trap,
}

class Items {
  private count: u32 = 0;
  put(): void {
    atomicAdd32(changetype<usize>(this), 1);
  }
  take(): bool {
    const count = atomicLoad32(changetype<usize>(this));
    return count != 0 && atomicCompareExchange32(changetype<usize>(this), count, count - 1) == count;
  }
}

class Worker extends Thread {
  readonly items: Items = new Items();

  constructor(
    readonly number: u32,
    readonly work: Work,
    readonly rounds: u32,
    processor: u32,
  ) {
    super(processor);
  }

  run(): void {
    for (let round: u32 = 0; round < this.rounds; round++) {
      if (this.work == Work.Items) while (!this.items.take()) scheduler.sleep();
      note(Note.Enter, this.number);
      step();
      note(Note.Leave, this.number);
      if (this.work == Work.Turns) scheduler.schedule();
      if (this.work == Work.Times) scheduler.sleepUntil((round as u64) << 4);
      if (this.work == Work.Trap && round == this.rounds - 1) trap();
    }
    note(Note.Finished, this.number);
  }
}

const MAXIMUM: i32 = 8;
const workers: StaticArray<Worker | null> = new StaticArray<Worker | null>(MAXIMUM);
let count: u32 = 0;

function worker(number: u32): Worker {
  return changetype<Worker>(changetype<usize>(unchecked(workers[number])));
}

export function addWorker(work: u32, rounds: u32, processor: u32): void {
  unchecked((workers[count] = new Worker(count, work, rounds, processor)));
  count++;
}

export function forgetWorkers(): void {
  count = 0;
}

export function startWorker(number: u32): bool {
  return scheduler.start(worker(number));
}

export function useOneProcessor(one: bool): void {
  scheduler.begin(processors, one);
}

/** What the end of an exit does of it. */
function turn(): void {
  scheduler.wakeSleepers();
  if (scheduler.hasWork()) scheduler.turn();
}

function haveEnded(): bool {
  for (let i: u32 = 0; i < count; i++) {
    const state = worker(i).state;
    if (state != ThreadState.Ended && state != ThreadState.Dead) return false;
  }
  return true;
}

/** Puts so many items for a worker, waking it each time, and gives threads turns until all have ended. */
export function serve(number: u32, items: u32): void {
  for (let i: u32 = 0; i < items; i++) {
    worker(number).items.put();
    scheduler.wake(worker(number));
  }
  while (!haveEnded()) {
    turn();
    pause();
  }
}

/** Starts a worker again and again until it has been started so many times, and gives turns. Returns its starts. */
export function restart(number: u32, times: u32): u32 {
  let started: u32 = 0;
  for (let i: u32 = 0; i < times; i++) {
    if (scheduler.start(worker(number))) started++;
    turn();
  }
  serve(number, 0);
  return started;
}

/** On the processor's own stack after a trap, as src/control/trap.ts has it. */
export function recover(): void {
  TicketLock.releaseAll();
  note(Note.Abandoned, scheduler.abandon() ? 1 : 0);
  serve(0, 0);
}

/** The guest runs, and exits for NMIs only, until all threads have ended. */
export function runGuestUntilEnd(): void {
  const vcpu = changetype<TestVcpu>(processors.current());
  while (!haveEnded()) {
    scheduler.wakeSleepers();
    if (scheduler.hasWork() || vcpu.returnsSoon) vcpu.giveTurns();
    if (haveEnded()) break;
    vcpu.enter();
    if (vcpu.returnsSoon) pause();
    else runGuest(0);
    vcpu.leaveGuest();
    if (openInterruptWindow(false) & WINDOW_NMI) vcpu.tookNmi();
  }
}

/** Whether a worker is in the queue. */
export function isReady(number: u32): bool {
  return worker(number).state == ThreadState.Ready;
}
const spare: StaticArray<Worker | null> = new StaticArray<Worker | null>(STACKS);
for (let i: u32 = 0; i < STACKS; i++) unchecked((spare[i] = new Worker(0, Work.Turns, 0, ANYWHERE)));

/** How many stacks nobody has, found by starting threads until none is left. */
export function takeFreeStacks(): u32 {
  let taken: u32 = 0;
  while (taken < STACKS && scheduler.start(changetype<Worker>(changetype<usize>(unchecked(spare[taken]))))) taken++;
  return taken;
}
export function deaths(): u32 {
  return scheduler.died;
}

/** The machine's: what a thread does on its stack. */
export function thread(stack: u32): void {
  scheduler.runOn(stack);
}
