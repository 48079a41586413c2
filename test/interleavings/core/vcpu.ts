import { processors } from "../../../src/vcpu/processors";
import { Exception, Segment, Vcpu } from "../../../src/vcpu/vcpu";
import { Note, note } from "./host";

/** A processor whose guest does nothing, with all of what goes between processors. */
export class TestVcpu extends Vcpu {
  starts: u32 = 0;
  nmis: u32 = 0;

  cr0(): u64 {
    return 0;
  }
  cr3(): u64 {
    return 0;
  }
  cr4OnProcessor(): u64 {
    return this.cr4();
  }
  cr4(): u64 {
    return 0;
  }
  efer(): u64 {
    return 0;
  }
  cpl(): u32 {
    return 0;
  }
  codeBits(): u32 {
    return 64;
  }
  segmentBase(_segment: Segment): u64 {
    return 0;
  }
  segmentLimit(_segment: Segment): u32 {
    return 0;
  }
  segmentSelector(_segment: Segment): u32 {
    return 0;
  }
  segmentAttributes(_segment: Segment): u32 {
    return 0;
  }
  scratch(): usize {
    return 0;
  }
  notedBytes(_to: usize): u32 {
    return 0;
  }
  setCr2(_value: u64): void {
    // no instruction is carried out
  }
  raise(_exception: Exception): void {
    // no instruction is carried out
  }
  raiseWithError(_exception: Exception, _error: u32): void {
    // no instruction is carried out
  }
  injectInterrupt(_vector: u32): void {
    // none comes
  }
  interceptInterrupts(): void {
    // none comes
  }
  restart(): void {
    // nothing traps
  }
  returnSoon(_soon: bool): void {
    // whether it does is what giveTurns notes
  }
  reset(): void {
    note(Note.Reset, this.index);
  }
  finishInstruction(): void {
    // no instruction is carried out here
  }
  startAt(vector: u32): void {
    this.starts++;
    note(Note.Start, vector);
  }
  handlesNmi(): bool {
    return false;
  }
  forgetTranslations(): void {
    this.translations = processors.currentGeneration();
  }
  /** The generation of the guest's address space whose translations it has. */
  translations: u32 = 0;

  enter(): bool {
    const entered = this.enterGuest();
    if (entered && this.pendingNmi) {
      this.pendingNmi = false;
      this.nmis++;
      note(Note.Nmi, this.index);
    }
    return entered;
  }
}
