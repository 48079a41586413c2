// One processor in VMX non-root operation: VM exits, their answers by the core, and the entries after them (SDM 3, chapters
// 27 and 28). A test says what the guest did.
import type { CoreExports } from "../svm/core.ts";
import type { VmxOperation } from "./operation.ts";
import { Field, type Vmcs } from "./vmcs.ts";

/** Offsets in the VmxRun block (src/vcpu/vmx/run.ts). */
const END = 0x90;
const LAUNCHED = 0x98;
const RunEnd = { Exit: 0n, Failed: 1n } as const;
const EVENT_VALID = 1n << 31n;

/** Basic exit reasons: appendix C. */
export const ExitReason = {
  ExceptionOrNmi: 0,
  ExternalInterrupt: 1,
  TripleFault: 2,
  InterruptWindow: 7,
  NmiWindow: 8,
  TaskSwitch: 9,
  Cpuid: 10,
  Hlt: 12,
  Invd: 13,
  Vmcall: 18,
  Vmclear: 19,
  Vmxon: 27,
  ControlRegister: 28,
  IoInstruction: 30,
  Rdmsr: 31,
  Wrmsr: 32,
  EptViolation: 48,
  Invept: 50,
  Invvpid: 53,
  Xsetbv: 55,
} as const;

export interface ExitDetails {
  readonly qualification?: bigint;
  /** Of the instruction that caused the exit, in bytes. */
  readonly length?: number;
  readonly guestPhysical?: bigint;
  /** IDT-vectoring information and error code of an event that was being delivered. */
  readonly vectoring?: bigint;
  readonly vectoringError?: bigint;
}

/** An event that the entry delivers: interruption information without its valid bit, and the error code if it has one. */
export interface Injected {
  readonly type: number;
  readonly vector: number;
  readonly error: bigint | undefined;
}

export class VmxProcessor {
  readonly vmcs: Vmcs;
  /** It waits for a start-up interrupt: the core said so. */
  waiting = false;
  readonly #operation: VmxOperation;
  readonly #core: CoreExports;
  readonly #run: number;
  readonly #block: DataView;

  constructor(core: CoreExports, run: number, operation: VmxOperation) {
    const vmcs = operation.current;
    if (!vmcs) throw new Error("the guest is started without a current VMCS");
    this.vmcs = vmcs;
    this.#core = core;
    this.#run = run;
    this.#operation = operation;
    this.#block = new DataView(core.memory.buffer, run);
    this.#enter();
  }

  gpr(index: number): bigint {
    return index === 4 ? this.vmcs.get(Field.Rsp) : this.#block.getBigUint64(8 * index, true);
  }
  setGpr(index: number, value: bigint): void {
    if (index === 4) this.vmcs.set(Field.Rsp, value);
    else this.#block.setBigUint64(8 * index, value, true);
  }

  /** A VM exit, its answer by the core, and the entry after it. */
  exit(reason: number, details: ExitDetails = {}): void {
    const { qualification = 0n, length = 0, guestPhysical = 0n, vectoring = 0n, vectoringError = 0n } = details;
    const { vmcs } = this;
    vmcs.set(Field.ExitReason, BigInt(reason));
    vmcs.set(Field.ExitQualification, qualification);
    vmcs.set(Field.ExitInstructionLength, BigInt(length));
    vmcs.set(Field.GuestPhysicalAddress, guestPhysical);
    vmcs.set(Field.IdtVectoring, vectoring);
    vmcs.set(Field.IdtVectoringErrorCode, vectoringError);
    vmcs.set(Field.EntryInterruption, vmcs.get(Field.EntryInterruption) & ~EVENT_VALID);
    this.#answer(RunEnd.Exit);
    if (!this.waiting) this.#enter();
  }

  /** An NMI ends the wait for a start-up interrupt. */
  wake(): void {
    this.waiting = this.#core.vmxWake(this.#run) !== 0;
    if (!this.waiting) this.#enter();
  }

  /** The event that the next entry delivers. */
  get injected(): Injected | undefined {
    const word = this.vmcs.get(Field.EntryInterruption);
    if (!(word & EVENT_VALID)) return undefined;
    const error = word & (1n << 11n) ? this.vmcs.get(Field.EntryErrorCode) : undefined;
    return { type: Number((word >> 8n) & 7n), vector: Number(word & 0xffn), error };
  }

  #answer(end: bigint): void {
    this.#block.setBigUint64(END, end, true);
    this.waiting = this.#core.vmxExit(this.#run) !== 0;
  }

  /** VMLAUNCH or VMRESUME. One that fails is the core's to explain. */
  #enter(): void {
    const outcome = this.#operation.enter(this.#block.getBigUint64(LAUNCHED, true) !== 0n);
    if (outcome === "succeed") {
      this.#block.setBigUint64(LAUNCHED, 1n, true);
      return;
    }
    const explanation = this.#operation.explain(outcome);
    this.#answer(outcome === "refused" ? RunEnd.Exit : RunEnd.Failed);
    throw new Error(`the guest was not entered: ${explanation}`);
  }
}
