import {
  atomicAdd32,
  atomicCompareExchange32,
  atomicLoad32,
  readTsc,
  resumeThread,
  suspendThread,
  thisProcessor,
} from "../metal";
import { MAXIMUM_PROCESSORS } from "../vcpu/limits";
import { TicketLock } from "./lock";
import { ReadyQueue } from "./queue";
import { ANYWHERE, NEVER, NO_STACK, Pause, Thread, ThreadState } from "./thread";

/** So many threads can be alive at a time: THREADS of metal/threads.h. */
export const STACKS: u32 = 16;
const NOBODY: u32 = 0xffff_ffff;

/** How the scheduler reaches another processor. */
export abstract class ProcessorCalls {
  /** Has the processor `index` come to `turn`, now or as soon as its guest begins to run. */
  abstract kick(index: u32): void;
}

/**
 * Gives threads their turns, between an exit of the guest and its next run. A thread goes back to the scheduler, on the
 * processor's own stack, to hand over: only there does it become ready or asleep for others to see. So nobody can run on
 * a stack that is not yet left, no lock is held across a switch, and a thread woken on its way to sleep does not sleep.
 */
export class Scheduler {
  private readonly lock: TicketLock = new TicketLock();
  private readonly ready: ReadyQueue = new ReadyQueue();
  /** The thread that has each stack, from its start to its end. */
  private readonly stacks: StaticArray<Thread | null> = new StaticArray<Thread | null>(STACKS);
  private readonly running: StaticArray<Thread | null> = new StaticArray<Thread | null>(MAXIMUM_PROCESSORS);
  /** How many threads are ready: nobody looks further while it is 0. */
  private work: u32 = 0;
  /** No sleep ends by itself before this. */
  private nextTime: u64 = NEVER;
  private calls: ProcessorCalls | null = null;
  /** Free threads run on one processor at a time, until nothing is left; which, if any. */
  private oneProcessor: bool = false;
  private worker: u32 = NOBODY;
  /** Threads that a trap ended. */
  died: u32 = 0;

  /** With `oneProcessor`, free threads run on one processor at a time, rather than on all. */
  begin(calls: ProcessorCalls, oneProcessor: bool): void {
    this.calls = calls;
    this.oneProcessor = oneProcessor;
  }

  /** Starts a thread from its beginning; false if it has been started, or no stack is free. */
  start(thread: Thread): bool {
    this.lock.acquire();
    const stack = thread.state == ThreadState.Ended ? this.freeStack() : NO_STACK;
    if (stack != NO_STACK) {
      unchecked((this.stacks[stack] = thread));
      thread.stack = stack;
      thread.fresh = true;
      thread.woken = false;
      this.makeReady(thread);
    }
    this.lock.release();
    if (stack == NO_STACK) return false;
    this.call(thread);
    return true;
  }

  /** Has a thread that sleeps go on, or its next sleep end at once. */
  wake(thread: Thread): void {
    this.lock.acquire();
    const asleep = thread.state == ThreadState.Sleeping;
    if (asleep) this.makeReady(thread);
    else thread.woken = true;
    this.lock.release();
    if (asleep) this.call(thread);
  }

  // ---- For threads ----

  /** Lets all others that are ready, and the guest, have their turn. */
  schedule(): void {
    this.leave(Pause.Turn, NEVER);
  }

  /** Until `wake`, which may have come since the last sleep; then it returns after a turn of the others. */
  sleep(): void {
    this.leave(Pause.Sleep, NEVER);
  }

  /** Until `wake`, or until the TSC has come to `time` and a processor has an exit that looks at the clock. */
  sleepUntil(time: u64): void {
    this.leave(Pause.Sleep, time);
  }

  private leave(pause: Pause, until: u64): void {
    const thread = this.current();
    thread.pause = pause;
    thread.until = until;
    suspendThread();
  }

  private current(): Thread {
    return changetype<Thread>(changetype<usize>(unchecked(this.running[thisProcessor()])));
  }

  /** What a stack's thread does from its start to its end. */
  runOn(stack: u32): void {
    const thread = changetype<Thread>(changetype<usize>(unchecked(this.stacks[stack])));
    thread.run();
    thread.pause = Pause.End;
  }

  // ---- For processors, on their own stacks ----

  /** Whether `turn` may find something to do. */
  @inline hasWork(): bool {
    return atomicLoad32(this.at(offsetof<Scheduler>("work"))) != 0;
  }

  /** Makes ready whose sleep is over. The quickest exits are without it: a look at the clock would make them longer. */
  @inline wakeSleepers(): void {
    const time = this.nextTime;
    if (time != NEVER && readTsc() >= time) this.endSleeps();
  }

  /**
   * Gives each thread that is ready for this processor one turn. True if there are some afterwards too: then the guest
   * should soon be asked for another exit.
   */
  turn(): bool {
    if (!this.ready.length) return false;
    const free = this.mayWork();
    this.lock.acquire();
    for (let left = this.ready.length; left; left--) {
      const thread = this.ready.take(thisProcessor(), free);
      if (thread === null) break;
      this.run(thread);
    }
    const more = this.ready.has(thisProcessor(), true);
    this.lock.release();
    if (free) this.endWork();
    return more;
  }

  /** After a trap: the thread that ran here, if one did, is no more. */
  abandon(): bool {
    this.endWork();
    const thread = unchecked(this.running[thisProcessor()]);
    if (thread === null) return false;
    this.lock.acquire();
    unchecked((this.running[thisProcessor()] = null));
    this.end(thread, ThreadState.Dead);
    this.died++;
    this.lock.release();
    return true;
  }

  /** The lock is held before and after, not meanwhile. */
  private run(thread: Thread): void {
    this.count(-1);
    thread.state = ThreadState.Running;
    const fresh = thread.fresh;
    thread.fresh = false;
    unchecked((this.running[thisProcessor()] = thread));
    this.lock.release();
    resumeThread(thread.stack, fresh);
    this.lock.acquire();
    unchecked((this.running[thisProcessor()] = null));
    this.settle(thread);
  }

  /** A thread has left its stack. */
  private settle(thread: Thread): void {
    if (thread.pause == Pause.End) {
      this.end(thread, ThreadState.Ended);
    } else if (thread.pause == Pause.Turn || thread.woken) {
      if (thread.pause == Pause.Sleep) thread.woken = false;
      this.makeReady(thread);
    } else {
      thread.state = ThreadState.Sleeping;
      this.nextTime = min(this.nextTime, thread.until);
    }
  }

  private end(thread: Thread, state: ThreadState): void {
    thread.state = state;
    unchecked((this.stacks[thread.stack] = null));
    thread.stack = NO_STACK;
  }

  private makeReady(thread: Thread): void {
    thread.state = ThreadState.Ready;
    this.ready.append(thread);
    this.count(1);
  }

  private endSleeps(): void {
    this.lock.acquire();
    const now = readTsc();
    this.nextTime = NEVER;
    for (let i: u32 = 0; i < STACKS; i++) {
      const thread = unchecked(this.stacks[i]);
      if (thread === null || thread.state != ThreadState.Sleeping) continue;
      if (thread.until <= now) this.makeReady(thread);
      else this.nextTime = min(this.nextTime, thread.until);
    }
    this.lock.release();
  }

  private freeStack(): u32 {
    for (let i: u32 = 0; i < STACKS; i++) if (unchecked(this.stacks[i]) === null) return i;
    return NO_STACK;
  }

  /** Sees to it that the processor of a pinned thread looks for it, even in the guest. Free ones are run by anyone. */
  private call(thread: Thread): void {
    if (thread.processor == ANYWHERE || thread.processor == thisProcessor()) return;
    const calls = this.calls;
    if (calls !== null) calls.kick(thread.processor);
  }

  /** Whether this processor may run free threads now; `endWork` is then due. */
  private mayWork(): bool {
    if (!this.oneProcessor) return true;
    return atomicCompareExchange32(this.at(offsetof<Scheduler>("worker")), NOBODY, thisProcessor()) == NOBODY;
  }
  private endWork(): void {
    if (this.oneProcessor) {
      atomicCompareExchange32(this.at(offsetof<Scheduler>("worker")), thisProcessor(), NOBODY);
    }
  }

  /** Changes the number of threads that `hasWork` looks at; the lock is held. */
  private count(change: i32): void {
    atomicAdd32(this.at(offsetof<Scheduler>("work")), change as u32);
  }

  @inline private at(offset: usize): usize {
    return changetype<usize>(this) + offset;
  }
}

export const scheduler = new Scheduler();
