// What is done about the exits that processors of all vendors have in the same way.
import { carryOutAt, skipStore } from "../decode/emulate";
import { carryOutPlainMove } from "../decode/fast";
import { Outcome } from "../decode/outcome";
import { log } from "../log/log";
import { guestMemory } from "../memory/guest";
import { MmioDevice } from "../memory/hooks";
import { guestSpace } from "../memory/space";
import { scheduler } from "../threads/scheduler";
import { resetMachine } from "./reset";
import { Exception, Vcpu } from "./vcpu";

/** The nested tables do not allow an access to this address; `present` if they map it, but not for such an access. */
export function nestedFault(vcpu: Vcpu, address: u64, present: bool): void {
  if (!guestSpace.hooks.touches(address & ~0xfff, 0x1000)) {
    if (present) vcpu.counters.blockWrites++;
    else if (guestSpace.mapOnDemand(address)) return;
  }
  const outcome = carryOutAt(vcpu, guestSpace.bus, address);
  const dropped = outcome == Outcome.Unknown && guestMemory.isBlock(address, 1) && skipStore(vcpu);
  if (outcome == Outcome.Done || dropped) vcpu.finishInstruction();
  else if (outcome == Outcome.Unknown) unknownInstruction(vcpu, address);
}

function unknownInstruction(vcpu: Vcpu, address: u64): void {
  if (!vcpu.counters.unknownInstructions++) {
    log
      .warn("an instruction that Sheer does not know touched ")
      .hex(address)
      .text(" at ")
      .hex(vcpu.registers.rip)
      .end();
  }
  vcpu.raise(Exception.InvalidOpcode);
}

/** Methods, for only these can be made part of their callers. */
class Exits {
  /** The end of each: threads have their turns, and the guest goes on; false if the processor waits instead. */
  @inline finish<T extends Vcpu>(vcpu: T): bool {
    if (scheduler.hasWork() || vcpu.returnsSoon) vcpu.giveTurns();
    if (vcpu.enter()) return true;
    if (vcpu.returnsSoon) vcpu.kick(); // no interrupt of the guest's will end its wait
    return false;
  }
}

export const exits = new Exits();

class QuickMoves {
  /** The short way for a plain MOV, which lies at `code`, to a hooked address: see carryOutPlainMove. */
  @inline carryOut<T extends Vcpu>(vcpu: T, code: u64, address: u64): bool {
    if ((address & ~0xfff) == vcpu.apic.page) return carryOutPlainMove(vcpu.registers, code, vcpu.apic, address);
    const recent = vcpu.recentHook;
    const device = recent.has(address, 4) ? recent.device : guestSpace.hooks.findRecent(recent, address, 4);
    if (device === null) return false;
    const lock = device.lock;
    if (lock) lock.acquire();
    const done = carryOutPlainMove<MmioDevice>(vcpu.registers, code, device, address);
    if (lock) lock.release();
    return done;
  }
}

export const quickMoves = new QuickMoves();

/** Moves RIP past an instruction that has been carried out, to `rip` as far as the code's size goes. */
export function advanceTo<T extends Vcpu>(vcpu: T, rip: u64): void {
  const bits = vcpu.codeBits();
  vcpu.registers.rip = bits == 64 ? rip : rip & (bits == 32 ? 0xffff_ffff : 0xffff);
  vcpu.finishInstruction();
}

export function tripleFault(vcpu: Vcpu): void {
  log.info("the guest's processor shut down at ").hex(vcpu.registers.rip).text("; the machine is reset").end();
  log.flush();
  resetMachine();
}
