import { FirmwareContext } from "../boot/info";
import { EntryFormat } from "../memory/entry-format";
import { Vcpu } from "./vcpu";

/** What the start of the guest needs of a vendor's virtualization. */
export abstract class Virtualization {
  /** Why the processor that this runs on cannot run a guest, in a sentence for the user; empty if it can. */
  abstract obstacle(): string;
  /** How its nested page tables are written. */
  abstract entryFormat(): EntryFormat;
  /** How many levels these have, where the host's page tables have 4 or 5. */
  abstract nestedLevels(hostLevels: u32): u32;
  /** Makes what all processors share, when the guest's address space has been made. */
  abstract begin(): void;
  /** Makes the processor that this runs on ready to run the guest. Before the heap is sealed, one processor at a time. */
  abstract prepare(index: u32): Vcpu;
  /** On a machine with several processors: NMIs are how Sheer stops the guest on another one. */
  abstract interceptNmis(vcpu: Vcpu): void;
  /** Lets the guest go on as the firmware, whose call of Sheer returns `status`. Does not return on a real machine. */
  abstract start(vcpu: Vcpu, context: FirmwareContext, status: u64): void;
}
