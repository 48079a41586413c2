// The registers of a processor in guest mode: some in the VMCB, the others in the core's GuestRun block.
import { Control, Save, type Vmcb } from "./vmcb.ts";

const RFLAGS_IF = 1n << 9n;
const SHADOW = 1n;

export const Gpr = { Rax: 0, Rcx: 1, Rdx: 2, Rbx: 3, Rsp: 4, Rbp: 5, Rsi: 6, Rdi: 7, R8: 8, R15: 15 } as const;

export class ProcessorState {
  readonly vmcb: Vmcb;
  readonly #registers: DataView;

  constructor(vmcb: Vmcb, registers: DataView) {
    this.vmcb = vmcb;
    this.#registers = registers;
  }

  /** A general register as the running guest has it. */
  gpr(index: number): bigint {
    if (index === Gpr.Rax) return this.vmcb.get(Save.Rax);
    return index === Gpr.Rsp ? this.vmcb.get(Save.Rsp) : this.#registers.getBigUint64(8 * index, true);
  }
  setGpr(index: number, value: bigint): void {
    if (index === Gpr.Rax) this.vmcb.set(Save.Rax, value);
    else if (index === Gpr.Rsp) this.vmcb.set(Save.Rsp, value);
    else this.#registers.setBigUint64(8 * index, value, true);
  }
  get rip(): bigint {
    return this.vmcb.get(Save.Rip);
  }
  set rip(value: bigint) {
    this.vmcb.set(Save.Rip, value);
  }
  get rflags(): bigint {
    return this.vmcb.get(Save.Rflags);
  }
  set rflags(value: bigint) {
    this.vmcb.set(Save.Rflags, value);
  }
  get interruptsEnabled(): boolean {
    return (this.rflags & RFLAGS_IF) !== 0n;
  }
  /** STI or CLI without the shadow. */
  set interruptsEnabled(enabled: boolean) {
    this.rflags = enabled ? this.rflags | RFLAGS_IF : this.rflags & ~RFLAGS_IF;
  }
  /** The next instruction is in the shadow of STI or MOV SS. */
  get shadow(): boolean {
    return (this.vmcb.get(Control.InterruptShadow) & SHADOW) !== 0n;
  }
  set shadow(on: boolean) {
    const rest = this.vmcb.get(Control.InterruptShadow) & ~SHADOW;
    this.vmcb.set(Control.InterruptShadow, on ? rest | SHADOW : rest);
  }
}
