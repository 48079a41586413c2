/** How carrying out an instruction ended. */
export const enum Outcome {
  /** Carried out; RIP is at the next instruction and RFLAGS.RF is clear. */
  Done,
  /**
   * The guest has an exception pending at the instruction, or is to run it again; nothing else of it happened but earlier
   * repetitions.
   */
  Faulted,
  /** Between two repetitions of a string instruction: entering the guest goes on with it. */
  Unfinished,
  /** Not an instruction that is carried out here; nothing has changed. */
  Unknown,
}
