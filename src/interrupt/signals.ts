import { atomicCompareExchange32, atomicLoad32 } from "../metal";

/** What a processor has been sent, in one word, so that a change of it is one access. */
const enum Signal {
  Init = 1 << 0,
  Nmi = 1 << 1,
  /** The processor waits for a start-up interrupt: not sent by others, but what makes them count. */
  Waiting = 1 << 2,
  Startup = 1 << 3,
}
const VECTOR_SHIFT: u32 = 8;

/** What becomes of the processor by the next signal. */
export const enum Answer {
  /** No signal is left: the guest goes on. */
  None,
  /** No signal is left: the processor waits for a start-up interrupt. */
  Wait,
  Reset,
  Nmi,
  /** The vector is in the bits above. */
  Start,
}
export const ANSWER_BITS: u32 = 8;

/**
 * INIT, start-up and non-maskable interrupts on their way from any processor to one, which takes them when the guest does
 * not run on it. INIT takes back what came before it; a start-up interrupt counts only after an INIT, the first of several
 * alone (AMD APM 2, 16.5 and 15.27.8; Intel SDM 3, 10.4.3). Real APICs keep INIT in the same way until it is taken.
 */
export class Signals {
  private word: u32 = 0;

  sendInit(): void {
    const at = this.at();
    let old = atomicLoad32(at);
    while (true) {
      const seen = atomicCompareExchange32(at, old, (old & Signal.Waiting) | Signal.Init);
      if (seen == old) return;
      old = seen;
    }
  }

  /** False if the processor does not wait for one, and ignores it. */
  sendStartup(vector: u32): bool {
    const at = this.at();
    let old = atomicLoad32(at);
    while (old & (Signal.Init | Signal.Waiting) && !(old & Signal.Startup)) {
      const seen = atomicCompareExchange32(at, old, old | Signal.Startup | (vector << VECTOR_SHIFT));
      if (seen == old) return true;
      old = seen;
    }
    return false;
  }

  /** A processor that is being reset, or waits for its start, does not take it. */
  sendNmi(): void {
    const at = this.at();
    let old = atomicLoad32(at);
    while (!(old & (Signal.Init | Signal.Waiting))) {
      const seen = atomicCompareExchange32(at, old, old | Signal.Nmi);
      if (seen == old) return;
      old = seen;
    }
  }

  /** Whether there is anything for `take`. */
  @inline any(): bool {
    return atomicLoad32(this.at()) != 0;
  }

  /** Takes the next signal, on the processor itself. A boot processor does not wait after INIT. */
  take(bootProcessor: bool): u32 {
    const at = this.at();
    while (true) {
      const old = atomicLoad32(at);
      let rest: u32 = 0;
      let answer: u32 = Answer.None;
      if (old & Signal.Init) {
        answer = Answer.Reset;
        if (!bootProcessor) rest = (old & ~(Signal.Init | Signal.Nmi)) | Signal.Waiting;
      } else if (old & Signal.Startup) {
        answer = Answer.Start | ((old >> VECTOR_SHIFT) << ANSWER_BITS);
      } else if (old & Signal.Waiting) {
        return Answer.Wait;
      } else if (old & Signal.Nmi) {
        answer = Answer.Nmi;
      } else {
        return Answer.None;
      }
      if (atomicCompareExchange32(at, old, rest) == old) return answer;
    }
  }

  @inline private at(): usize {
    return changetype<usize>(this) + offsetof<Signals>("word");
  }
}
