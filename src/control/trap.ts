import { quietNetwork } from "../drivers/net/attach";
import { log } from "../log/log";
import { screen } from "../log/screen";
import { functionName, readCr2 } from "../metal";
import { TicketLock } from "../threads/lock";
import { processors } from "../vcpu/processors";
import { Exception } from "../vcpu/vcpu";

const PAGE_FAULT: u32 = 14;
/** Traps in a row, without an exit answered between them, after which nothing more can be expected of Sheer. */
const PATIENCE: u32 = 16;
const LONGEST_NAME: u32 = 200;
const name = heap.alloc(LONGEST_NAME);

/** What a processor does after a trap: stops for good, goes on with the guest, or waits for an NMI first. */
export const enum AfterTrap {
  Stop = 0,
  GoOn = 1,
  Wait = 2,
}

/** What is done about traps of the hypervisor itself. */
class Traps {
  private begun: bool = false;

  /** The guest runs: from now on a trap can be survived. */
  begin(): void {
    this.begun = true;
  }

  /**
   * Reports a trap by the function it happened in, in the log and on the screen, and silences the device that Sheer
   * mediates. The guest then runs its instruction again; if that traps once more, the guest gets #GP for it.
   */
  report(kind: u32, address: u64): AfterTrap {
    TicketLock.releaseAll();
    describe(kind, address);
    if (!this.begun || !processors.hasCurrent) return AfterTrap.Stop;
    quietNetwork();
    const vcpu = processors.current();
    vcpu.load(); // the exit may have been answered in part
    vcpu.interrupts.abandonTranslation();
    const inRow = vcpu.counters.countTrap();
    if (inRow > PATIENCE) return AfterTrap.Stop;
    if (inRow > 1) vcpu.raiseWithError(Exception.GeneralProtection, 0);
    return vcpu.enter() ? AfterTrap.GoOn : AfterTrap.Wait;
  }
}

function describe(kind: u32, address: u64): void {
  const start = log.next();
  const line = log.error("trap ").hex(kind).text(" at ").hex(address).text(" in ");
  line.ascii(name, functionName(address, name, LONGEST_NAME));
  if (kind == PAGE_FAULT) line.text(", address ").hex(readCr2());
  line.end();
  screen.showLog(start);
}

export const traps = new Traps();
