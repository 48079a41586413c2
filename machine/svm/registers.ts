// Instructions of the simulated guest that work on the processor's own state.
import { high32, join64, low32 } from "../bits.ts";
import type { CpuidResult } from "../cpuid.ts";
import { GeneralProtection, isPat, Msr } from "../msrs.ts";
import { Code, PLAIN, type PlainInstruction } from "./code.ts";
import { Execution } from "./execution.ts";
import { msrExits } from "./permissions.ts";
import { GuestException } from "./processor.ts";
import { Gpr } from "./state.ts";
import { Control, Exit, Misc1, Save } from "./vmcb.ts";

const GENERAL_PROTECTION = 13;
const INVALID_OPCODE = 6;
const MASK32 = 0xffff_ffffn;
/** CR8 is the task priority, bits 7:4 of the local APIC's register. */
const APIC_TPR = 0x80;

/** Registers that the VMCB holds while the guest runs. */
const SWITCHED: Readonly<Record<number, number>> = {
  [Msr.Efer]: Save.Efer,
  [Msr.Star]: Save.Star,
  [Msr.Lstar]: Save.Lstar,
  [Msr.Cstar]: Save.Cstar,
  [Msr.Sfmask]: Save.Sfmask,
  [Msr.FsBase]: Save.FsBase,
  [Msr.GsBase]: Save.GsBase,
  [Msr.KernelGsBase]: Save.KernelGsBase,
  [Msr.SysenterCs]: Save.SysenterCs,
  [Msr.SysenterEsp]: Save.SysenterEsp,
  [Msr.SysenterEip]: Save.SysenterEip,
};
const CONTROL_REGISTERS: Readonly<Record<number, number>> = { 0: Save.Cr0, 2: Save.Cr2, 3: Save.Cr3, 4: Save.Cr4 };

export class ProcessorInstructions extends Execution {
  cpuid(leaf: number, subleaf = 0): CpuidResult {
    const { processor } = this;
    processor.setGpr(Gpr.Rax, BigInt(leaf >>> 0));
    processor.setGpr(Gpr.Rcx, BigInt(subleaf >>> 0));
    const results = [Gpr.Rax, Gpr.Rbx, Gpr.Rcx, Gpr.Rdx] as const;
    this.step(Code.cpuid, (next) => {
      if (this.exitsFor(Exit.Cpuid, next)) return false;
      this.world.cpuid.query(leaf, subleaf).forEach((value, i) => processor.setGpr(results[i]!, BigInt(value)));
      return true;
    });
    const [a, b, c, d] = results.map((index) => low32(processor.gpr(index)));
    return [a!, b!, c!, d!];
  }

  rdmsr(index: number): bigint {
    const { processor } = this;
    processor.setGpr(Gpr.Rcx, BigInt(index >>> 0));
    this.step(Code.rdmsr, (next) => {
      if (this.#msr(index, false, next)) return false;
      const value = this.#readMsr(index);
      processor.setGpr(Gpr.Rax, value & MASK32);
      processor.setGpr(Gpr.Rdx, value >> 32n);
      return true;
    });
    return join64(low32(processor.gpr(Gpr.Rax)), low32(processor.gpr(Gpr.Rdx)));
  }

  wrmsr(index: number, value: bigint): void {
    const { processor } = this;
    processor.setGpr(Gpr.Rcx, BigInt(index >>> 0));
    processor.setGpr(Gpr.Rax, BigInt(low32(value)));
    processor.setGpr(Gpr.Rdx, BigInt(high32(value)));
    this.step(Code.wrmsr, (next) => {
      if (this.#msr(index, true, next)) return false;
      this.#writeMsr(index, value);
      return true;
    });
  }

  rdtsc(): bigint {
    const { processor } = this;
    this.step(Code.rdtsc, (next) => {
      if (this.exitsFor(Exit.Rdtsc, next)) return false;
      const value = BigInt.asUintN(64, this.world.msrs.read(Msr.Tsc) + processor.vmcb.get(Control.TscOffset));
      processor.setGpr(Gpr.Rax, value & MASK32);
      processor.setGpr(Gpr.Rdx, value >> 32n);
      return true;
    });
    return join64(low32(processor.gpr(Gpr.Rax)), low32(processor.gpr(Gpr.Rdx)));
  }

  /** A hypercall with these registers; returns RAX. */
  vmmcall(registers: Readonly<Record<number, bigint>> = {}): bigint {
    for (const [index, value] of Object.entries(registers)) this.processor.setGpr(Number(index), value);
    this.step(Code.vmmcall, (next) => {
      if (this.exitsFor(Exit.Vmmcall, next)) return false;
      throw new GuestException(INVALID_OPCODE);
    });
    return this.processor.gpr(Gpr.Rax);
  }

  /** An instruction that either exits or does nothing that matters here; SVM's own are #UD where they do not exit. */
  plain(name: PlainInstruction): void {
    const { bytes, code } = PLAIN[name];
    this.step(bytes, (next) => {
      if (this.exitsFor(code, next)) return false;
      if (code >= Exit.Vmrun && code <= 0x86) throw new GuestException(INVALID_OPCODE);
      return true;
    });
  }

  readCr(cr: number): bigint {
    const { processor } = this;
    this.step(Code.readCr(cr), (next) => {
      if (this.exitsFor(Exit.ReadCr0 + cr, next)) return false;
      processor.setGpr(
        Gpr.Rax,
        cr === 8 ? BigInt(processor.apic.readMmio(APIC_TPR) >> 4) : processor.vmcb.get(controlAt(cr)),
      );
      return true;
    });
    return processor.gpr(Gpr.Rax);
  }

  writeCr(cr: number, value: bigint): void {
    const { processor } = this;
    processor.setGpr(Gpr.Rax, value);
    this.step(Code.writeCr(cr), (next) => {
      if (this.exitsFor(Exit.WriteCr0 + cr, next)) return false;
      const selective = cr === 0 && ((processor.vmcb.get(Save.Cr0) ^ value) & ~0xan) !== 0n;
      if (selective && this.interceptsMisc1(Misc1.SelectiveCr0)) {
        processor.exit(Exit.SelectiveCr0, { nextRip: next });
        return false;
      }
      if (cr === 8) processor.apic.writeMmio(APIC_TPR, 4, Number(value) << 4);
      else processor.vmcb.set(controlAt(cr), value);
      return true;
    });
  }

  #msr(index: number, write: boolean, next: bigint): boolean {
    const { vmcb, memory } = this.processor;
    if (!this.interceptsMisc1(Misc1.Msr)) return false;
    if (!msrExits(memory, Number(vmcb.get(Control.MsrpmBase)), index >>> 0, write)) return false;
    this.processor.exit(Exit.Msr, { info1: write ? 1 : 0, nextRip: next });
    return true;
  }

  /** Where the VMCB has a register. With nested paging the guest has a PAT of its own (APM 2, 15.25.2). */
  #switched(index: number): number | undefined {
    const nested = (this.processor.vmcb.get(Control.NestedControl) & 1n) !== 0n;
    return nested && index >>> 0 === Msr.Pat ? Save.Pat : SWITCHED[index >>> 0];
  }

  #readMsr(index: number): bigint {
    const switched = this.#switched(index);
    if (switched !== undefined) return this.processor.vmcb.get(switched);
    return this.#orGeneralProtection(() => this.world.msrs.read(index >>> 0));
  }

  #writeMsr(index: number, value: bigint): void {
    const switched = this.#switched(index);
    if (switched === Save.Pat && !isPat(value)) throw new GuestException(GENERAL_PROTECTION, 0);
    if (switched !== undefined) this.processor.vmcb.set(switched, value);
    else this.#orGeneralProtection(() => this.world.msrs.write(index >>> 0, value));
  }

  #orGeneralProtection<T>(access: () => T): T {
    try {
      return access();
    } catch (error) {
      if (error instanceof GeneralProtection) throw new GuestException(GENERAL_PROTECTION, 0);
      throw error;
    }
  }
}

function controlAt(cr: number): number {
  const offset = CONTROL_REGISTERS[cr];
  if (offset === undefined) throw new GuestException(INVALID_OPCODE);
  return offset;
}
