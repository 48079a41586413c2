// The interruption-information fields of a VMCS: SDM 3, tables 25-17, 25-19 and 25-20.
import type { GuestEvent } from "../guest/events.ts";

export const EVENT_VALID = 1n << 31n;
const ERROR_VALID = 1n << 11n;

export function encodeEvent({ type, vector, error }: GuestEvent): bigint {
  return EVENT_VALID | (error === undefined ? 0n : ERROR_VALID) | BigInt((type << 8) | vector);
}

export function parseEvent(information: bigint, errorCode: bigint): GuestEvent | undefined {
  if (!(information & EVENT_VALID)) return undefined;
  const error = information & ERROR_VALID ? Number(errorCode) : undefined;
  return { type: Number((information >> 8n) & 7n), vector: Number(information & 0xffn), error };
}
