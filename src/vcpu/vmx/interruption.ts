import { InterruptionType } from "./vmcs";

/** Interruption information: VECTOR 7:0, TYPE 10:8, error code valid 11, valid 31 (Intel SDM 3, table 25-17). */
export namespace Interruption {
  export const VALID: u32 = 1 << 31;
  export const ERROR_VALID: u32 = 1 << 11;

  export function make(type: InterruptionType, vector: u32): u32 {
    return VALID | ((type as u32) << 8) | vector;
  }
  export function type(interruption: u32): InterruptionType {
    return ((interruption >> 8) & 7) as InterruptionType;
  }
}
