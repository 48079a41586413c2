// VMCB clean bits (APM 2, 15.15): what the processor keeps from run to run, and may not have to be told again.
import type { Vmcb } from "./vmcb.ts";
import { Control, Save } from "./vmcb.ts";

const CLEAN = 0x0c0;

/** A bit's name, and offset and length of what it stands for (table 15-9). */
const GROUPS: readonly [string, readonly [number, number][]][] = [
  ["intercepts", [[Control.InterceptCr, 0x14], [0x03c, 4], [Control.TscOffset, 8]]], // prettier-ignore
  ["permission maps", [[Control.IopmBase, 16]]],
  ["ASID", [[Control.Asid, 4]]],
  ["virtual interrupt", [[Control.VirtualInterrupt, 8]]],
  ["nested paging", [[Control.NestedControl, 8], [Control.NestedCr3, 8], [Save.Pat, 8]]], // prettier-ignore
  ["control registers", [[Save.Cr0, 8], [Save.Cr3, 8], [Save.Cr4, 8], [Save.Efer, 8]]], // prettier-ignore
  ["debug registers", [[Save.Dr6, 8], [Save.Dr7, 8]]], // prettier-ignore
  ["descriptor tables", [[0x460, 16], [0x480, 16]]], // prettier-ignore
  ["segments", [[Save.Es, 0x40], [Save.Cpl, 1]]], // prettier-ignore
  ["CR2", [[Save.Cr2, 8]]],
];

/** What a processor with clean bits keeps of a VMCB. */
export class KeptState {
  readonly #vmcb: Vmcb;
  #kept: string[] | undefined;

  constructor(vmcb: Vmcb) {
    this.#vmcb = vmcb;
  }

  /** #VMEXIT: the processor goes on to know all that the VMCB then holds. */
  exit(): void {
    this.#kept = GROUPS.map((_, group) => this.#content(group));
  }

  /** VMRUN: throws if a bit says that something is as it was, and it is not: the guest would run with what it was. */
  entry(): void {
    const clean = this.#vmcb.get32(CLEAN);
    GROUPS.forEach(([name], group) => {
      if (!((clean >>> group) & 1) || this.#kept?.[group] === this.#content(group)) return;
      throw new Error(`VMCB Clean says that nothing has changed of: ${name}`);
    });
  }

  #content(group: number): string {
    const bytes = GROUPS[group]![1].flatMap(([start, length]) =>
      Array.from({ length }, (_, i) => this.#vmcb.get8(start + i)),
    );
    return bytes.join();
  }
}
