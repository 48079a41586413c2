/** TYPE in EVENTINJ and EXITINTINFO (AMD APM 2, 15.20). */
export const enum EventType {
  External = 0,
  Nmi = 2,
  Exception = 3,
  SoftwareInterrupt = 4,
}

/** EVENTINJ and EXITINTINFO: VECTOR 7:0, TYPE 10:8, EV 11, V 31, ERRORCODE 63:32. */
export namespace Event {
  export const VALID: u64 = 1 << 31;
  const ERROR_VALID: u64 = 1 << 11;

  export function make(type: EventType, vector: u32): u64 {
    return VALID | ((type as u64) << 8) | (vector as u64);
  }
  export function withError(event: u64, error: u32): u64 {
    return event | ERROR_VALID | ((error as u64) << 32);
  }
  export function vector(event: u64): u32 {
    return (event as u32) & 0xff;
  }
  export function type(event: u64): EventType {
    return (((event as u32) >> 8) & 7) as EventType;
  }
}
