import { scheduler } from "../threads/scheduler";
import { ANYWHERE, Thread } from "../threads/thread";
import { log } from "./log";

/**
 * Writes the log to the UART while the guest runs, as fast as the UART takes it: nobody waits for it. Whoever ends a line
 * wakes it, so that a line that the UART takes at once is written before the guest goes on. What is left follows at later
 * exits: until it is written, the guest's next interrupt or halt is one.
 */
export class LogWriter extends Thread {
  constructor() {
    super(ANYWHERE);
  }

  run(): void {
    while (true) {
      if (!log.sendSome()) scheduler.sleep();
      else scheduler.schedule();
    }
  }
}

const writer = new LogWriter();

/** From now on the log's lines are written by a thread: to be called when all is ready for the guest. */
export function startLogWriter(): void {
  if (scheduler.start(writer)) log.deferTo(writer);
}
