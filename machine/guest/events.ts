// What a guest is given instead of its next instruction.

/** Types of events, by the numbers of both vendors' injection fields (APM 2, 15.20; SDM 3, table 25-17). */
export const EventType = {
  External: 0,
  Nmi: 2,
  Exception: 3,
  /** INT n. */
  SoftwareInterrupt: 4,
  /** INT3 and INTO, which AMD's processors count among the exceptions. */
  SoftwareException: 6,
} as const;

export interface GuestEvent {
  readonly type: number;
  readonly vector: number;
  readonly error: number | undefined;
}

export const Vector = { Debug: 1, Nmi: 2, InvalidOpcode: 6, GeneralProtection: 13, PageFault: 14 } as const;

/** An exception that the guest's instruction met. */
export class GuestException extends Error {
  readonly vector: number;
  readonly error: number | undefined;
  /** CR2, for a page fault. */
  readonly address: bigint | undefined;
  constructor(vector: number, error?: number, address?: bigint) {
    super(`exception ${vector}${error === undefined ? "" : `, error ${error}`}`);
    this.vector = vector;
    this.error = error;
    this.address = address;
  }
}

/** The processor was shut down by a triple fault that nobody intercepted. */
export class Shutdown extends Error {}

/** An instruction cannot be executed: the processor waits for a start-up interrupt. */
export class WaitsForStartup extends Error {}
