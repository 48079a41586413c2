// Instructions of the simulated guest that work on the processor's own state.
import { high32, join64, low32 } from "../bits.ts";
import type { CpuidResult } from "../cpuid.ts";
import { GeneralProtection, Msr } from "../msrs.ts";
import { isXcr0 } from "../unswitched.ts";
import { Code, PLAIN, type PlainInstruction } from "./code.ts";
import { GuestException, Vector } from "./events.ts";
import { Execution } from "./execution.ts";
import { Gpr } from "./state.ts";

const MASK32 = 0xffff_ffffn;
/** CR8 is the task priority, bits 7:4 of the local APIC's register. */
const APIC_TPR = 0x80;
const CONTROL_REGISTERS = [0, 2, 3, 4];
const OF_VIRTUALIZATION = /^(vm|invl?pga|inve|invv|stgi|clgi|skinit)/;

export class ProcessorInstructions extends Execution {
  cpuid(leaf: number, subleaf = 0): CpuidResult {
    const { processor } = this;
    processor.setGpr(Gpr.Rax, BigInt(leaf >>> 0));
    processor.setGpr(Gpr.Rcx, BigInt(subleaf >>> 0));
    const results = [Gpr.Rax, Gpr.Rbx, Gpr.Rcx, Gpr.Rdx] as const;
    this.step(Code.cpuid, (next) => {
      if (processor.intercept({ kind: "cpuid" }, next)) return false;
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
      if (processor.intercept({ kind: "rdmsr", index: index >>> 0 }, next)) return false;
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
      if (processor.intercept({ kind: "wrmsr", index: index >>> 0 }, next)) return false;
      this.#writeMsr(index, value);
      return true;
    });
  }

  rdtsc(): bigint {
    const { processor } = this;
    this.step(Code.rdtsc, (next) => {
      if (processor.intercept({ kind: "rdtsc" }, next)) return false;
      const value = BigInt.asUintN(64, this.world.msrs.read(Msr.Tsc) + processor.tscOffset);
      processor.setGpr(Gpr.Rax, value & MASK32);
      processor.setGpr(Gpr.Rdx, value >> 32n);
      return true;
    });
    return join64(low32(processor.gpr(Gpr.Rax)), low32(processor.gpr(Gpr.Rdx)));
  }

  /** VMMCALL or VMCALL with these registers; returns RAX. */
  hypercall(registers: Readonly<Record<number, bigint>> = {}): bigint {
    const { processor } = this;
    for (const [index, value] of Object.entries(registers)) processor.setGpr(Number(index), value);
    this.step(processor.hypercallBytes, (next) => {
      if (processor.intercept({ kind: "hypercall" }, next)) return false;
      throw new GuestException(Vector.InvalidOpcode);
    });
    return processor.gpr(Gpr.Rax);
  }

  /** An instruction that either exits or does nothing that matters here; those of virtualization are #UD if they do not exit. */
  plain(name: PlainInstruction): void {
    this.step(PLAIN[name], (next) => {
      if (this.processor.intercept({ kind: "plain", name }, next)) return false;
      if (OF_VIRTUALIZATION.test(name)) throw new GuestException(Vector.InvalidOpcode);
      return true;
    });
  }

  xsetbv(index: number, value: bigint): void {
    const { processor } = this;
    processor.setGpr(Gpr.Rcx, BigInt(index >>> 0));
    processor.setGpr(Gpr.Rax, BigInt(low32(value)));
    processor.setGpr(Gpr.Rdx, BigInt(high32(value)));
    this.step(Code.xsetbv, (next) => {
      if (processor.intercept({ kind: "xsetbv" }, next)) return false;
      if (index !== 0 || !isXcr0(value)) throw new GuestException(Vector.GeneralProtection, 0);
      this.world.unswitched.xcr0 = value;
      return true;
    });
  }

  readCr(register: number): bigint {
    const { processor } = this;
    this.step(Code.readCr(register), (next) => {
      if (processor.intercept({ kind: "read control register", register }, next)) return false;
      if (register !== 8 && !CONTROL_REGISTERS.includes(register)) throw new GuestException(Vector.InvalidOpcode);
      const taskPriority = (): bigint => BigInt(processor.apic.readMmio(APIC_TPR) >> 4);
      processor.setGpr(Gpr.Rax, register === 8 ? taskPriority() : processor.controlRegister(register));
      return true;
    });
    return processor.gpr(Gpr.Rax);
  }

  writeCr(register: number, value: bigint): void {
    const { processor } = this;
    processor.setGpr(Gpr.Rax, value);
    this.step(Code.writeCr(register), (next) => {
      if (processor.intercept({ kind: "write control register", register, value }, next)) return false;
      if (register === 8 && value > 15n) throw new GuestException(Vector.GeneralProtection, 0);
      if (register === 8) processor.apic.writeMmio(APIC_TPR, 4, Number(value) << 4);
      else if (CONTROL_REGISTERS.includes(register))
        orGeneralProtection(() => processor.writeControlRegister(register, value));
      else throw new GuestException(Vector.InvalidOpcode);
      return true;
    });
  }

  #readMsr(index: number): bigint {
    return this.processor.switchedMsr(index >>> 0) ?? orGeneralProtection(() => this.world.msrs.read(index >>> 0));
  }

  #writeMsr(index: number, value: bigint): void {
    orGeneralProtection(() => {
      if (!this.processor.setSwitchedMsr(index >>> 0, value)) this.world.msrs.write(index >>> 0, value);
    });
  }
}

function orGeneralProtection<T>(access: () => T): T {
  try {
    return access();
  } catch (error) {
    if (error instanceof GeneralProtection) throw new GuestException(Vector.GeneralProtection, 0);
    throw error;
  }
}
