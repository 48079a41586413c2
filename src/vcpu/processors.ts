import { FirmwareContext } from "../boot/info";
import { atomicAdd32, atomicLoad32, pause, thisProcessor } from "../metal";
import { ProcessorCalls } from "../threads/scheduler";
import { MAXIMUM_PROCESSORS } from "./limits";
import { Vcpu } from "./vcpu";

/** Pauses, some seconds of them, that a processor has for leaving the guest when it is called. */
const PATIENCE: u32 = 1 << 26;

/** What the firmware hands another processor on its way into Sheer. metal/main.c has the same layout. */
@unmanaged
export class ProcessorStart {
  index: u64;
  /** Virtual address of the top of its stack. */
  stack: u64;
  /** Who came first: the processor, or the end of the boot processor's patience. */
  arrival: u64;

  /** What the processor was doing for the firmware, noted on its way. */
  get context(): FirmwareContext {
    return changetype<FirmwareContext>(changetype<usize>(this) + offsetof<ProcessorStart>());
  }
}

/** The processors that run the guest. They are added at boot, one after the other. */
class Processors extends ProcessorCalls {
  /** How many there are. */
  count: u32 = 0;
  private readonly all: StaticArray<Vcpu | null> = new StaticArray<Vcpu | null>(MAXIMUM_PROCESSORS);
  /** The same by `thisProcessor`; one that came too late is missing. */
  private readonly byNumber: StaticArray<Vcpu | null> = new StaticArray<Vcpu | null>(MAXIMUM_PROCESSORS);
  /** Raised when all processors must forget what they know of the guest's address space. */
  private generation: u32 = 0;

  add(vcpu: Vcpu): void {
    unchecked((this.byNumber[vcpu.index] = vcpu));
    unchecked((this.all[this.count] = vcpu));
    this.count++;
  }

  /** `index` is below `count`. */
  @inline at(index: u32): Vcpu {
    return changetype<Vcpu>(changetype<usize>(unchecked(this.all[index])));
  }
  /** The guest's processor that this one runs. */
  @inline current(): Vcpu {
    return changetype<Vcpu>(changetype<usize>(unchecked(this.byNumber[thisProcessor()])));
  }
  /** Whether this processor runs the guest. */
  get hasCurrent(): bool {
    return unchecked(this.byNumber[thisProcessor()]) !== null;
  }

  /** Ends the guest's run on the processor `index`, if there is one, now or as soon as it begins. */
  kick(index: u32): void {
    const vcpu = unchecked(this.byNumber[index]);
    if (vcpu !== null) vcpu.kick();
  }

  @inline currentGeneration(): u32 {
    return atomicLoad32(changetype<usize>(this) + offsetof<Processors>("generation"));
  }

  /**
   * After a change of the guest's address space or of what its processors must exit for: returns when each processor is
   * outside the guest or has taken note. Locks may be held: whoever waits for one is outside the guest. False if one has
   * not left the guest in time, as firmware's management mode may keep it: it takes note at its next exit, and until then
   * nothing that the guest's address space was made of may be used for anything else.
   */
  synchronise(): bool {
    const changed = atomicAdd32(changetype<usize>(this) + offsetof<Processors>("generation"), 1) + 1;
    for (let i: u32 = 0; i < this.count; i++) {
      const other = this.at(i);
      if (other.index != thisProcessor() && other.isInGuest()) other.kick();
    }
    let inTime = true;
    for (let i: u32 = 0; i < this.count; i++) {
      const other = this.at(i);
      if (other.index != thisProcessor() && !awaitNotice(other, changed)) inTime = false;
    }
    return inTime;
  }
}

/** False if the processor goes on in the guest as it was before that generation. */
function awaitNotice(vcpu: Vcpu, generation: u32): bool {
  for (let pauses: u32 = 0; pauses < PATIENCE; pauses++) {
    if (!vcpu.isInGuest() || !isBefore(vcpu.generation(), generation)) return true;
    pause();
  }
  return false;
}

function isBefore(a: u32, b: u32): bool {
  const distance: i32 = a - b;
  return distance < 0;
}

export const processors = new Processors();
