import { readTsc } from "../../metal";
import { scheduler } from "../../threads/scheduler";
import { ANYWHERE, Thread } from "../../threads/thread";
import { VirtioNet } from "./virtio/device";

/** Cycles of the TSC between two looks: about a second. */
const PERIOD: u64 = 1 << 31;

/** Looks from time to time whether the card is still what Sheer has made of it. */
export class Housekeeping extends Thread {
  constructor(private readonly device: VirtioNet) {
    super(ANYWHERE);
  }

  run(): void {
    while (true) {
      scheduler.sleepUntil(readTsc() + PERIOD);
      this.device.lock.acquire();
      this.device.lookAfter();
      this.device.lock.release();
    }
  }
}
