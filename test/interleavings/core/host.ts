// What the core's half of the interleaving tests imports of the other.

/** A point, like any access of shared memory, at which another processor may go on. */
export declare function step(): void;
/** Tells the test that something has happened, to the processor that this runs on. */
export declare function note(what: u32, value: u32): void;
/** The guest runs here with what it knows of its address space, until an NMI or any other exit. */
export declare function runGuest(translations: u32): void;
/** HLT: returns when an NMI waits. */
export declare function waitForNmi(): void;
/** A trap: this call and what is below it come to nothing, and the processor goes on with the scenario's `recover`. */
export declare function trap(): void;

/** What `note` tells; the same numbers in notes.ts. */
export const enum Note {
  Enter,
  Leave,
  Reset,
  Start,
  Nmi,
  Changed,
  Begin,
  End,
  Finished,
  Abandoned,
}

/** Of openInterruptWindow's result. */
export const WINDOW_NMI: u32 = 1 << 9;
