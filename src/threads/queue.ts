import { ANYWHERE, Thread } from "./thread";

/** Threads that are ready, first come, first served. */
export class ReadyQueue {
  private first: Thread | null = null;
  private last: Thread | null = null;
  length: u32 = 0;

  append(thread: Thread): void {
    thread.next = null;
    const last = this.last;
    if (last === null) this.first = thread;
    else last.next = thread;
    this.last = thread;
    this.length++;
  }

  /** Takes the first thread that may run on `processor`: one of its own, or one for any processor if `free`. */
  take(processor: u32, free: bool): Thread | null {
    let before: Thread | null = null;
    let thread = this.first;
    while (thread) {
      if (mayRun(thread, processor, free)) {
        this.remove(thread, before);
        return thread;
      }
      before = thread;
      thread = thread.next;
    }
    return null;
  }

  /** Whether `take` would find one. */
  has(processor: u32, free: bool): bool {
    let thread = this.first;
    while (thread) {
      if (mayRun(thread, processor, free)) return true;
      thread = thread.next;
    }
    return false;
  }

  private remove(thread: Thread, before: Thread | null): void {
    if (before === null) this.first = thread.next;
    else before.next = thread.next;
    if (this.last === thread) this.last = before;
    thread.next = null;
    this.length--;
  }
}

function mayRun(thread: Thread, processor: u32, free: bool): bool {
  return thread.processor == ANYWHERE ? free : thread.processor == processor;
}
