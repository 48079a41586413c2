import { log } from "../log/log";
import { readTsc } from "../metal";
import { logAddress } from "../pci/config";
import { scheduler } from "../threads/scheduler";
import { ANYWHERE, Thread } from "../threads/thread";
import { DmaFault, Iommus } from "./unit";

/** Cycles of the TSC between two looks: less than a tenth of a second. */
const PERIOD: u64 = 1 << 28;
/** Most faults that are taken at one look. */
const MOST: u32 = 64;
/** Devices that are counted each for itself; all others are counted together. */
const DEVICES: u32 = 16;

/** Reads from time to time which devices were refused, and logs the 1st, 2nd, 4th, 8th … refusal of each. */
export class FaultWatch extends Thread {
  private readonly fault: DmaFault = new DmaFault();
  private known: u32 = 0;
  private readonly devices: StaticArray<u32> = new StaticArray<u32>(DEVICES);
  private readonly times: StaticArray<u32> = new StaticArray<u32>(DEVICES + 1);

  constructor(private readonly iommus: Iommus) {
    super(ANYWHERE);
  }

  run(): void {
    while (true) {
      for (let i = 0; i < this.iommus.count(); i++) this.look(i);
      scheduler.sleepUntil(readTsc() + PERIOD);
    }
  }

  private look(index: i32): void {
    const unit = this.iommus.unit(index);
    for (let left = MOST; left && unit.takeFault(this.fault); left--) this.report();
  }

  private report(): void {
    const slot = this.slotOf(this.fault.device);
    const times = unchecked(++this.times[slot]);
    if (times & (times - 1)) return;
    log.warn("device ");
    logAddress(this.fault.device);
    log
      .text(" was refused address ")
      .hex(this.fault.address)
      .text(" (reason ")
      .hex(this.fault.reason)
      .text("), times: ")
      .dec(times)
      .end();
  }

  private slotOf(device: u32): u32 {
    for (let i: u32 = 0; i < this.known; i++) if (unchecked(this.devices[i]) == device) return i;
    if (this.known < DEVICES) unchecked((this.devices[this.known++] = device));
    else return DEVICES;
    return this.known - 1;
  }
}
