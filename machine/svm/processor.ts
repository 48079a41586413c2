// One processor in guest mode under AMD-V: #VMEXIT, VMRUN and the events between instructions (APM 2, 15.5, 15.6, 15.20 and
// 15.21).
import { Code } from "../guest/code.ts";
import { EventType, type GuestEvent, Shutdown } from "../guest/events.ts";
import type { Instruction } from "../guest/instruction.ts";
import { type NestedFault, NestedTranslator } from "../guest/nested.ts";
import type { Access, Translation } from "../guest/paging.ts";
import { type GuestProcessorParts, PATIENCE } from "../guest/processor.ts";
import { KeptState } from "./clean.ts";
import { exitOf, kindOf, type SvmExit } from "./intercepts.ts";
import { faultInfo, walkNestedTables } from "./nested.ts";
import { SvmState } from "./state.ts";
import { Control, encodeEvent, EVENT_VALID, Exit, Misc1, parseEvent } from "./vmcb.ts";

const V_IRQ = 1n << 8n;
const V_IGNORE_TPR = 1n << 20n;
const V_INTR_MASKING = 1n << 24n;
/** Instruction bytes that the VMCB has room for. */
const FETCHED = 15;

export interface ExitDetails {
  readonly info1?: bigint | number;
  readonly info2?: bigint | number;
  readonly nextRip?: bigint;
  /** The bytes that the processor fetched, where memory may have others by now. */
  readonly fetched?: readonly number[];
  /** An event that was being delivered. */
  readonly interrupted?: GuestEvent | undefined;
}

/** What newer processors do for a hypervisor. */
export interface SvmProcessorOptions {
  readonly nextRipSave: boolean;
  readonly decodeAssists: boolean;
  readonly flushByAsid?: boolean;
  readonly vmcbClean?: boolean;
}

export class SvmProcessor extends SvmState {
  readonly hypercallBytes = Code.vmmcall;
  readonly writesTables = true;
  halted = false;
  readonly #options: SvmProcessorOptions;
  readonly #kept: KeptState | undefined;
  readonly #translator: NestedTranslator;
  /** An NMI that was not injected is being handled: it holds the next back, until IRET (APM 2, 8.2.3). */
  #nmiBlocked = false;

  constructor(parts: GuestProcessorParts, options: SvmProcessorOptions) {
    super(parts);
    const { vmcb, memory } = this;
    this.#options = options;
    this.#translator = new NestedTranslator((address) =>
      walkNestedTables(memory, vmcb.get(Control.NestedCr3), address),
    );
    this.#kept = options.vmcbClean ? new KeptState(vmcb) : undefined;
    this.enter();
  }

  /** A #VMEXIT, its answer by the core, and the VMRUN after it. */
  exit(code: number | bigint, { info1 = 0, info2 = 0, nextRip, fetched, interrupted }: ExitDetails = {}): void {
    const { vmcb } = this;
    vmcb.set(Control.ExitCode, BigInt(code));
    // Of a MOV to a control register only decode assists tell (15.8.1)
    const told = code !== Exit.WriteCr8 || this.#options.decodeAssists;
    vmcb.set(Control.ExitInfo1, told ? BigInt(info1) : 0n);
    vmcb.set(Control.ExitInfo2, BigInt(info2));
    vmcb.set(Control.ExitIntInfo, interrupted ? encodeEvent(interrupted) : 0n);
    vmcb.set(Control.EventInjection, vmcb.get(Control.EventInjection) & ~EVENT_VALID);
    vmcb.set(Control.NextRip, this.#options.nextRipSave && nextRip !== undefined ? nextRip : 0n);
    vmcb.set8(Control.FetchedCount, 0);
    if (this.#options.decodeAssists && code === Exit.NestedPageFault) this.#noteInstruction(fetched);
    this.#kept?.exit();
    const { core, run } = this.parts;
    this.finishExit(code === Exit.Invalid ? "invalid" : kindOf(Number(code)), () => core.exit(run));
  }

  intercept(instruction: Instruction, next: bigint): boolean {
    const exit = exitOf(this.vmcb, this.memory, instruction, next);
    if (exit) this.#exitFor(exit, next);
    return exit !== undefined;
  }
  #exitFor({ code, ...details }: SvmExit, nextRip: bigint): void {
    this.exit(code, { ...details, nextRip });
  }

  interceptException({ vector, error }: GuestEvent): boolean {
    if (!this.vmcb.intercepts(Exit.Exception + vector)) return false;
    this.exit(Exit.Exception + vector, { info1: error ?? 0 });
    return true;
  }

  tripleFault(): void {
    if (!this.vmcb.hasMisc1(Misc1.Shutdown)) throw new Shutdown("shutdown is not intercepted");
    this.exit(Exit.Shutdown);
  }
  exitForInterrupt(): void {
    this.exit(Exit.Intr);
  }
  /** The NMI stays pending until GIF is set. */
  exitForNmi(): void {
    this.exit(Exit.Nmi);
  }
  exitForFault(fault: NestedFault, delivering?: GuestEvent): void {
    this.exit(Exit.NestedPageFault, { info1: faultInfo(fault), info2: fault.address, interrupted: delivering });
  }

  get interceptsNmis(): boolean {
    return this.vmcb.intercepts(Exit.Nmi) && !this.#nmiBlocked;
  }

  get injection(): GuestEvent | undefined {
    return parseEvent(this.vmcb.get(Control.EventInjection));
  }
  takeInjection(): GuestEvent | undefined {
    const event = this.injection;
    if (event) this.vmcb.set(Control.EventInjection, this.vmcb.get(Control.EventInjection) & ~EVENT_VALID);
    return event;
  }

  protected nested(address: number, access: Access, tables: boolean): Translation {
    if (!(this.vmcb.get(Control.NestedControl) & 1n)) return { address };
    return this.#translator.translate(address, access, tables);
  }

  /** Decode assists: the bytes from RIP on, as far as they can be fetched (15.8.4). */
  #noteInstruction(fetched = this.#fetch()): void {
    this.vmcb.set8(Control.FetchedCount, fetched.length);
    fetched.forEach((byte, i) => this.vmcb.set8(Control.FetchedBytes + i, byte));
  }

  #fetch(): readonly number[] {
    const found = this.tryTranslate(Number(this.rip), { fetch: true });
    if ("fault" in found) return [];
    return [...this.memory.readBytes(found.address, Math.min(FETCHED, 4096 - (found.address % 4096)))];
  }

  protected wake(): number {
    const { core, run } = this.parts;
    return core.wake(run);
  }

  /** VMRUN: its checks, which end in another exit if one fails. */
  protected enter(): void {
    const fault = this.vmcb.fault();
    if (fault === undefined) {
      this.#kept?.entry();
      this.#flush();
      return;
    }
    if ((this.exits.get("invalid") ?? 0) >= PATIENCE) throw new Error(`VMRUN keeps failing: ${fault}`);
    this.exit(Exit.Invalid);
  }

  /** TLB_CONTROL other than 0 empties the cache, which has one guest's translations (15.16). */
  #flush(): void {
    const control = this.vmcb.get8(Control.TlbControl);
    if (control > 1 && !this.#options.flushByAsid)
      throw new Error(`TLB_CONTROL ${control} without flush by ASID is reserved`);
    if (!(control & 7)) return;
    this.#translator.forget();
    this.flushes++;
  }

  protected deliverPending(): boolean {
    return this.#deliverNmi() || this.#deliverExternal() || this.#deliverVirtual();
  }

  #deliverNmi(): boolean {
    if (!this.apic.nmi || this.#nmiBlocked || this.shadow) return false;
    if (this.vmcb.intercepts(Exit.Nmi)) this.exitForNmi();
    else {
      this.apic.nmi = false;
      this.#nmiBlocked = true;
      this.deliver({ type: EventType.Nmi, vector: 2, error: undefined });
      this.#nmiBlocked = false;
    }
    return true;
  }

  #deliverExternal(): boolean {
    const masking = (this.vmcb.get(Control.VirtualInterrupt) & V_INTR_MASKING) !== 0n;
    const open = masking || (this.interruptsEnabled && !this.shadow);
    if (!open || this.apic.pending() < 0) return false;
    if (this.vmcb.intercepts(Exit.Intr)) this.exitForInterrupt();
    else this.deliver({ type: EventType.External, vector: this.apic.acknowledge(), error: undefined });
    return true;
  }

  #deliverVirtual(): boolean {
    const control = this.vmcb.get(Control.VirtualInterrupt);
    if (!(control & V_IRQ) || !this.interruptsEnabled || this.shadow) return false;
    const ready = (control & V_IGNORE_TPR) !== 0n || ((control >> 16n) & 15n) > (control & 15n);
    if (!ready) return false;
    if (this.vmcb.intercepts(Exit.Vintr)) this.exit(Exit.Vintr);
    else {
      this.vmcb.set(Control.VirtualInterrupt, control & ~V_IRQ);
      this.deliver({ type: EventType.External, vector: Number((control >> 32n) & 0xffn), error: undefined });
    }
    return true;
  }

  /** IRET exits before it is carried out: an NMI injected then would run on the stack that the IRET still needs. */
  protected returnFromNmi(): void {
    const { restarts } = this;
    let code: number | undefined = this.vmcb.intercepts(Exit.Iret) ? Exit.Iret : undefined;
    while (code !== undefined && this.restarts === restarts) {
      this.exit(code);
      if (this.injection?.type === EventType.Nmi) throw new Error("an NMI was injected before the last one's IRET");
      code = this.canTakeNmi ? Exit.Nmi : undefined;
    }
  }
}
