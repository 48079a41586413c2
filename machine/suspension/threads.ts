// The core's threads: calls of its export `thread` that are left in the middle and gone on with later. Only the functions
// that can be left so differ from those in core.wasm.
import { emptyBuffer, type Suspensions } from "./asyncify.ts";

export const SUSPENDING_IMPORTS = ["metal.suspendThread"];

/** Page 0 of linear memory, which nobody else touches: a stack is there while it is put together or taken apart. */
const BUFFER = 0;
const BUFFER_SIZE = 4096;

export interface ThreadExports extends Suspensions {
  thread(stack: number): void;
}

export class Threads {
  readonly #core: () => ThreadExports;
  readonly #linear: () => DataView;
  /** What suspended threads have on their stacks. */
  readonly #stacks = new Map<number, Uint8Array>();
  #state: "none" | "running" | "leaving" | "returning" = "none";

  constructor(core: () => ThreadExports, linear: () => DataView) {
    this.#core = core;
    this.#linear = linear;
  }

  /** The bodies of src/metal.ts. */
  imports(): Record<string, unknown> {
    return {
      resumeThread: (stack: number, fresh: number) => this.#resume(stack, fresh !== 0),
      suspendThread: () => this.#suspend(),
    };
  }

  #resume(stack: number, fresh: boolean): void {
    if (this.#state !== "none") throw new Error("a thread resumes another");
    const core = this.#core();
    const page = new Uint8Array(this.#linear().buffer, BUFFER, BUFFER_SIZE);
    const poison = page.slice();
    const kept = this.#stacks.get(stack);
    if (!fresh && !kept) throw new Error(`the thread on stack ${stack} is resumed but not suspended`);
    this.#stacks.delete(stack);
    this.#state = "running";
    try {
      if (!fresh) {
        page.set(kept!);
        core.asyncify_start_rewind(BUFFER);
        this.#state = "returning";
      }
      core.thread(stack);
      if (this.#isLeaving()) {
        core.asyncify_stop_unwind();
        this.#stacks.set(stack, page.slice());
      }
    } finally {
      page.set(poison);
      this.#state = "none";
    }
  }

  #suspend(): void {
    if (this.#state === "none") throw new Error("no thread runs that could be suspended");
    if (this.#state === "returning") {
      this.#core().asyncify_stop_rewind();
      this.#state = "running";
      return;
    }
    emptyBuffer(this.#linear(), BUFFER, BUFFER_SIZE);
    this.#core().asyncify_start_unwind(BUFFER);
    this.#state = "leaving";
  }

  #isLeaving(): boolean {
    return this.#state === "leaving";
  }
}
