import { pause, readTsc } from "../../metal";

/** No processor's time-stamp counter counts further in a microsecond. */
const CYCLES: u64 = 5_000;

/** Waits for at least so many microseconds, and for few times as many on any processor. */
export function waitMicroseconds(count: u64): void {
  const start = readTsc();
  while (readTsc() - start < count * CYCLES) pause();
}
