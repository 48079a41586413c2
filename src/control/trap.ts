import { quietNetwork } from "../drivers/net/attach";
import { guestInterrupts } from "../interrupt/guest";
import { log } from "../log/log";
import { screen } from "../log/screen";
import { functionName, readCr2 } from "../metal";
import { Exception, Vcpu } from "../vcpu/vcpu";
import { counters } from "./counters";

const PAGE_FAULT: u32 = 14;
/** Traps in a row, without an exit answered between them, after which nothing more can be expected of Sheer. */
const PATIENCE: u32 = 16;
const LONGEST_NAME: u32 = 200;
const name = heap.alloc(LONGEST_NAME);

/** What is done about traps of the hypervisor itself. */
class Traps {
  private vcpu: Vcpu | null = null;
  private answeredAtLast: u64 = 0;
  private inRow: u32 = 0;

  /** Tells which processor runs the guest: from now on a trap can be survived. */
  begin(vcpu: Vcpu): void {
    this.vcpu = vcpu;
  }

  /**
   * Reports a trap by the function it happened in, in the log and on the screen, and silences the device that Sheer
   * mediates. The guest then runs its instruction again; if that traps once more, the guest gets #GP for it. True if
   * the guest can go on.
   */
  report(kind: u32, address: u64): bool {
    counters.traps++;
    describe(kind, address);
    const vcpu = this.vcpu;
    if (vcpu === null) return false;
    quietNetwork();
    guestInterrupts.abandonTranslation();
    this.inRow = counters.answered == this.answeredAtLast ? this.inRow + 1 : 1;
    this.answeredAtLast = counters.answered;
    if (this.inRow > PATIENCE) return false;
    if (this.inRow > 1) vcpu.raiseWithError(Exception.GeneralProtection, 0);
    return true;
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
