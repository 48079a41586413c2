// A processor with AMD-V and a VMCB of the test's own, under a core of a few lines.
import type { CoreExports } from "../../../machine/core.ts";
import { Guest } from "../../../machine/guest/guest.ts";
import { Machine } from "../../../machine/machine.ts";
import { SvmProcessor } from "../../../machine/svm/processor.ts";
import { Control, Exit, Save } from "../../../machine/svm/vmcb.ts";
import { UnswitchedRegisters } from "../../../machine/unswitched.ts";

const LINEAR = 0x200_0000;
const RUN = 0x2000;
export const VMCB = LINEAR + 0x3000;
export const IOPM = LINEAR + 0x4000;
export const MSRPM = LINEAR + 0x8000;
export const NESTED = LINEAR + 0xa000;
export const CODE = 0x1_0000;
/** How far instructions go that a test's core has nothing else to do about. */
export const ADVANCE: Readonly<Record<number, number>> = { [Exit.Cpuid]: 2, [Exit.Msr]: 2, [Exit.Vmmcall]: 3 };

/** A core of a few lines: what it does on an exit is the test's to say. */
export class Bench implements CoreExports {
  readonly memory = { buffer: new ArrayBuffer(0x2_0000) };
  readonly machine = new Machine();
  readonly guest: Guest;
  /** Exit code, EXITINFO1 and EXITINFO2 of each exit. */
  readonly exits: [number, bigint, bigint][] = [];
  answer: (code: number) => void = () => undefined;

  constructor(prepare: (bench: Bench) => void = () => undefined, decodeAssists = false) {
    const { memory, apic } = this.machine;
    memory.mapLinear(LINEAR, this.memory.buffer);
    new DataView(this.memory.buffer).setBigUint64(RUN + 0x90, BigInt(VMCB), true);
    const { context } = this.machine.firmware;
    this.set(Control.InterceptMisc2, 1n);
    this.set(Control.Asid, 1n);
    this.set(Control.IopmBase, BigInt(IOPM));
    this.set(Control.MsrpmBase, BigInt(MSRPM));
    this.set(Save.Efer, 0x1d01n);
    this.set(Save.Cr0, 0x8001_0033n);
    this.set(Save.Cr3, BigInt(context.cr3));
    this.set(Save.Cr4, 0x668n);
    this.set(Save.Rflags, 2n);
    this.set(Save.Rip, BigInt(CODE));
    prepare(this);
    const unswitched = new UnswitchedRegisters();
    const parts = { core: this, run: RUN, memory, apic, unswitched, forbidTraps: false };
    const processor = new SvmProcessor(parts, { nextRipSave: true, decodeAssists });
    const { ports, msrs, cpuid, clock } = this.machine;
    this.guest = new Guest(processor, { ports, msrs, cpuid, clock, unswitched }, CODE);
  }
  boot(): bigint {
    return 0n;
  }
  processor(): void {
    // there is no other
  }
  wake(): number {
    return 0;
  }
  vmxExit(): number {
    throw new Error("this processor has AMD-V");
  }
  vmxWake(): number {
    throw new Error("this processor has AMD-V");
  }
  exit(): number {
    const code = Number(this.get(Control.ExitCode));
    this.exits.push([code, this.get(Control.ExitInfo1), this.get(Control.ExitInfo2)]);
    this.answer(code);
    return 0;
  }
  trap(): number {
    return 1;
  }
  get(offset: number): bigint {
    return this.machine.memory.read64(VMCB + offset);
  }
  set(offset: number, value: bigint): void {
    this.machine.memory.write64(VMCB + offset, value);
  }
  intercept(...codes: number[]): void {
    for (const code of codes) {
      const offset = code < 0x80 ? Control.InterceptMisc1 : Control.InterceptMisc2;
      const word = this.machine.memory.read32(VMCB + offset);
      this.machine.memory.write32(VMCB + offset, word | (1 << (code & 31)));
    }
  }
  /** Goes on behind the instruction. */
  advance(bytes: number): void {
    this.set(Save.Rip, this.get(Save.Rip) + BigInt(bytes));
  }
  inject(word: bigint): void {
    this.set(Control.EventInjection, word);
  }
}
