import { InterruptedError } from "./errors.ts";

/**
 * Runs work that Ctrl-C (or a request to end, or a closed terminal) stops: the work is told by the signal, cleans up,
 * and the command ends as interrupted, whatever the work made of it.
 */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const stop = (): void => controller.abort();
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, stop);
  try {
    const result = await work(controller.signal);
    if (controller.signal.aborted) throw new InterruptedError("Stopped.");
    return result;
  } catch (error) {
    if (controller.signal.aborted) throw new InterruptedError("Stopped; nothing is left running.");
    throw error;
  } finally {
    for (const signal of signals) process.off(signal, stop);
  }
}
