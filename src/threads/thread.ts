/** A thread that may run on any processor. */
export const ANYWHERE: u32 = 0xffff_ffff;
export const NO_STACK: u32 = 0xffff_ffff;
/** The end of time, for a thread that waits for no time. */
export const NEVER: u64 = 0xffff_ffff_ffff_ffff;

export const enum ThreadState {
  /** Not begun, or come to its end: it has no stack, and can be started. */
  Ended,
  /** In the queue. */
  Ready,
  Running,
  Sleeping,
  /** A trap ended it. */
  Dead,
}

/** Why a thread leaves its stack. */
export const enum Pause {
  Turn,
  Sleep,
  End,
}

/**
 * Work that goes on beside the guest, on a stack of its own. It is made at boot. `run` leaves the processor to others by
 * the scheduler's `schedule` and `sleep`; it must hold no lock then, for it may go on on another processor.
 */
export abstract class Thread {
  // The scheduler's, which changes them under its lock; `state` may be read by anyone.
  state: ThreadState = ThreadState.Ended;
  stack: u32 = NO_STACK;
  /** It has not yet run on its stack. */
  fresh: bool = false;
  /** It was woken since it last fell asleep: the next sleep ends at once. */
  woken: bool = false;
  pause: Pause = Pause.Turn;
  /** When a sleep ends by itself, in cycles of the TSC. */
  until: u64 = NEVER;
  /** Behind it in the queue. */
  next: Thread | null = null;

  /** `processor` is the only one that it runs on, or ANYWHERE. */
  constructor(readonly processor: u32) {}

  abstract run(): void;
}
