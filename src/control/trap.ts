import { quietNetwork } from "../drivers/net/attach";
import { log } from "../log/log";
import { screen } from "../log/screen";
import { functionName, readCr2 } from "../metal";
import { TicketLock } from "../threads/lock";
import { scheduler } from "../threads/scheduler";
import { processors } from "../vcpu/processors";
import { Exception, Vcpu } from "../vcpu/vcpu";

const PAGE_FAULT: u32 = 14;
/** Traps in a row, without an exit answered between them, after which nothing more can be expected of Sheer. */
const PATIENCE: u32 = 16;
/** What becomes of the processor. metal/main.c has the same. */
export const enum AfterTrap {
  Stop,
  Guest,
  /** The guest's processor waits for a start-up interrupt. */
  Wait,
}
const LONGEST_NAME: u32 = 200;
const name = heap.alloc(LONGEST_NAME);

/** What is done about traps of the hypervisor itself. */
class Traps {
  private begun: bool = false;

  /** The guest runs: from now on a trap can be survived. */
  begin(): void {
    this.begun = true;
  }

  /**
   * Reports a trap by the function it happened in, in the log and on the screen, and silences the device that Sheer
   * mediates. The guest then runs its instruction again; if that traps once more, the guest gets #GP for it. A trap of
   * a thread ends the thread alone: the guest's exit was answered before.
   */
  report(kind: u32, address: u64): AfterTrap {
    TicketLock.releaseAll();
    describe(kind, address);
    if (!this.begun || !processors.hasCurrent) return AfterTrap.Stop;
    const vcpu = processors.current();
    if (!scheduler.abandon() && !abandonExit(vcpu)) return AfterTrap.Stop;
    return vcpu.enter() ? AfterTrap.Guest : AfterTrap.Wait;
  }
}

/** Has the guest's instruction run again. False if that was tried too often. */
function abandonExit(vcpu: Vcpu): bool {
  quietNetwork();
  vcpu.interrupts.abandonTranslation();
  vcpu.restart();
  const inRow = vcpu.counters.countTrap();
  if (inRow > 1) vcpu.raiseWithError(Exception.GeneralProtection, 0);
  return inRow <= PATIENCE;
}

function describe(kind: u32, address: u64): void {
  const start = log.next();
  const line = log.error("trap ").hex(kind).text(" at ").hex(address).text(" in ");
  line.ascii(name, functionName(address, name, LONGEST_NAME));
  if (kind == PAGE_FAULT) line.text(", address ").hex(readCr2());
  line.end();
  log.flush();
  screen.showLog(start);
}

export const traps = new Traps();
