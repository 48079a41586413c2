const EXIT_CODES: u32 = 0x100;
const NESTED_PAGE_FAULT: u32 = 0x400;

/** Slots behind the exit codes below 0x100. */
const enum Slot {
  NestedPageFault = 0x100,
  Other = 0x101,
  Count = 0x102,
}

/** What has happened since Sheer started. Reasons of exits are counted by the processor's own codes. */
class Counters {
  private readonly exits: StaticArray<u64> = new StaticArray<u64>(Slot.Count);
  /** Exits that have been answered to the end. */
  answered: u64 = 0;
  /** Writes of the guest to Sheer's block, dropped. */
  blockWrites: u64 = 0;
  /** Instructions on hooked pages that are not carried out. */
  unknownInstructions: u64 = 0;
  /** Traps of the hypervisor itself. */
  traps: u64 = 0;

  @inline private static slotOf(code: u32): u32 {
    return code < EXIT_CODES ? code : code == NESTED_PAGE_FAULT ? Slot.NestedPageFault : Slot.Other;
  }

  @inline countExit(code: u32): void {
    const slot = Counters.slotOf(code);
    unchecked((this.exits[slot] = unchecked(this.exits[slot]) + 1));
  }

  /** How often an exit of this code came: 0 to 0xff, 0x400 for nested page faults, anything else for all others together. */
  exitsOf(code: u32): u64 {
    return unchecked(this.exits[Counters.slotOf(code)]);
  }
}

export const counters = new Counters();
