// A test in the place of the guest: each method is one instruction. The processor looks at its controls; what they do not
// intercept acts on the machine, what they do goes to the core, and what the guest then sees is returned.
import { low32, truncate, type Width } from "../bits.ts";
import { type AccessWidth, Code } from "./code.ts";
import { Gpr } from "./state.ts";
import { ProcessorInstructions } from "./system.ts";

/** One access to memory of an instruction that a test wrote in bytes. */
export interface MemoryOperand {
  readonly address: number;
  readonly write?: boolean;
}

export class Guest extends ProcessorInstructions {
  in(port: number, width: Width): number {
    const { processor } = this;
    processor.setGpr(Gpr.Rdx, BigInt(port));
    this.step(Code.in(width), (next) => {
      if (processor.intercept({ kind: "port", port, width, input: true, string: false }, next)) return false;
      const old = width === 4 ? 0n : processor.gpr(Gpr.Rax) & ~BigInt(2 ** (8 * width) - 1);
      processor.setGpr(Gpr.Rax, old | BigInt(this.world.ports.read(port, width)));
      return true;
    });
    return truncate(low32(processor.gpr(Gpr.Rax)), width);
  }

  out(port: number, width: Width, value: number): void {
    this.processor.setGpr(Gpr.Rdx, BigInt(port));
    this.processor.setGpr(Gpr.Rax, BigInt(truncate(value, width)));
    this.step(Code.out(width), (next) => {
      if (this.processor.intercept({ kind: "port", port, width, input: false, string: false }, next)) return false;
      this.world.ports.write(port, width, value);
      return true;
    });
  }

  /** REP OUTS or REP INS of `count` elements at `address`. */
  string(direction: "in" | "out", port: number, width: Width, address: number, count: number): void {
    const { processor } = this;
    const pointer = direction === "in" ? Gpr.Rdi : Gpr.Rsi;
    processor.setGpr(Gpr.Rdx, BigInt(port));
    processor.setGpr(Gpr.Rcx, BigInt(count));
    processor.setGpr(pointer, BigInt(address));
    const access = { kind: "port", port, width, input: direction === "in", string: true } as const;
    const bytes = direction === "in" ? Code.repIns(width) : Code.repOuts(width);
    this.step(bytes, (next) => {
      if (processor.gpr(Gpr.Rcx) === 0n) return true;
      if (processor.intercept(access, next)) return false;
      const at = Number(processor.gpr(pointer));
      const { memory } = processor;
      if (direction === "in") memory.write(at, width, this.world.ports.read(port, width));
      else this.world.ports.write(port, width, memory.read(at, width));
      processor.setGpr(pointer, BigInt(at + width));
      processor.setGpr(Gpr.Rcx, processor.gpr(Gpr.Rcx) - 1n);
      return processor.gpr(Gpr.Rcx) === 0n;
    });
  }

  read(address: number, width: AccessWidth): bigint {
    const { processor } = this;
    const { memory } = processor;
    processor.setGpr(Gpr.Rax, BigInt(address));
    this.step(Code.load(width), () => {
      const at = processor.translate(address, {});
      if (at === undefined) return false;
      const value = width === 8 ? memory.read64(at) : BigInt(memory.read(at, width));
      const kept = width < 4 ? processor.gpr(Gpr.Rcx) & ~BigInt(2 ** (8 * width) - 1) : 0n;
      processor.setGpr(Gpr.Rcx, kept | value);
      return true;
    });
    return BigInt.asUintN(8 * width, processor.gpr(Gpr.Rcx));
  }

  write(address: number, width: AccessWidth, value: bigint | number): void {
    const { processor } = this;
    processor.setGpr(Gpr.Rax, BigInt(address));
    processor.setGpr(Gpr.Rcx, BigInt.asUintN(64, BigInt(value)));
    this.step(Code.store(width), () => {
      const at = processor.translate(address, { write: true });
      if (at === undefined) return false;
      if (width === 8) processor.memory.write64(at, BigInt(value));
      else processor.memory.write(at, width, low32(BigInt(value)));
      return true;
    });
  }

  read32(address: number): number {
    return Number(this.read(address, 4));
  }

  write32(address: number, value: number): void {
    this.write(address, 4, value >>> 0);
  }

  /**
   * Any instruction, of which the test says what memory it touches. True if the core carried it out; false if nothing
   * was intercepted, and then its effect is left out.
   */
  execute(bytes: readonly number[], operands: readonly MemoryOperand[]): boolean {
    let emulated = true;
    this.step(bytes, () => {
      const direct = operands.every(({ address, write = false }) => {
        return this.processor.translate(address, { write }) !== undefined;
      });
      if (direct) emulated = false;
      return direct;
    });
    return emulated;
  }
}
