import { processors } from "../vcpu/processors";

const EXIT_CODES: u32 = 0x100;
const NESTED_PAGE_FAULT: u32 = 0x400;

/** Slots behind the exit codes below 0x100. */
const enum Slot {
  NestedPageFault = 0x100,
  Other = 0x101,
  Count = 0x102,
}

function slotOf(code: u32): u32 {
  return code < EXIT_CODES ? code : code == NESTED_PAGE_FAULT ? Slot.NestedPageFault : Slot.Other;
}

/** What has happened on one processor since Sheer started. Reasons of exits are counted by the processor's own codes. */
export class ProcessorCounters {
  private readonly exits: StaticArray<u64> = new StaticArray<u64>(Slot.Count);
  /** Writes of the guest to Sheer's block, dropped. */
  blockWrites: u64 = 0;
  /** Instructions on hooked pages that are not carried out. */
  unknownInstructions: u64 = 0;
  /** Traps of the hypervisor itself. */
  traps: u64 = 0;
  private exitsAtTrap: u64 = 0;
  private trapsInRow: u32 = 0;

  /** Counts an exit that has been answered to the end. */
  @inline countExit(code: u32): void {
    const slot = slotOf(code);
    unchecked((this.exits[slot] = unchecked(this.exits[slot]) + 1));
  }

  /** Counts a trap; returns how many came in a row, without an exit answered between them. */
  countTrap(): u32 {
    let exits: u64 = 0;
    for (let slot: u32 = 0; slot < (Slot.Count as u32); slot++) exits += unchecked(this.exits[slot]);
    this.traps++;
    this.trapsInRow = exits == this.exitsAtTrap ? this.trapsInRow + 1 : 1;
    this.exitsAtTrap = exits;
    return this.trapsInRow;
  }

  /** How often an exit of this code came: 0 to 0xff, 0x400 for nested page faults, anything else for all others together. */
  exitsOf(code: u32): u64 {
    return unchecked(this.exits[slotOf(code)]);
  }
}

/** The sums over all processors. */
class Counters {
  exitsOf(code: u32): u64 {
    let sum: u64 = 0;
    for (let i: u32 = 0; i < processors.count; i++) sum += processors.at(i).counters.exitsOf(code);
    return sum;
  }
  get blockWrites(): u64 {
    return total(offsetof<ProcessorCounters>("blockWrites"));
  }
  get unknownInstructions(): u64 {
    return total(offsetof<ProcessorCounters>("unknownInstructions"));
  }
  get traps(): u64 {
    return total(offsetof<ProcessorCounters>("traps"));
  }
}

/** The sum of the field of ProcessorCounters at `offset`. */
function total(offset: usize): u64 {
  let sum: u64 = 0;
  for (let i: u32 = 0; i < processors.count; i++)
    sum += load<u64>(changetype<usize>(processors.at(i).counters) + offset);
  return sum;
}

export const counters = new Counters();
