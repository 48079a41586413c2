// The registers of a guest under VT-x: some in the VMCS, others in the core's VmxRun block, and those that are not switched.
import { GuestProcessor, type GuestProcessorParts } from "../guest/processor.ts";
import { Gpr, Segment, type SegmentRegister, type TableRegister } from "../guest/state.ts";
import { GeneralProtection, isPat, Msr } from "../msrs.ts";
import { setCr0, setCr4, setEfer } from "./control-registers.ts";
import { isCanonical, secondary } from "./entry-rules.ts";
import type { VmxOperation } from "./operation.ts";
import { Blocking, EntryControl, ExitControl, Field, Primary, Secondary, type Vmcs } from "./vmcs.ts";

const SHADOW = BigInt(Blocking.Sti | Blocking.MovSs);
const ACTIVE = 0n;
const HLT = 1n;
const PRESENT = 0x80;
const EFER_LMA = 1n << 10n;
/** Of IA32_DEBUGCTL: bits 5:3 and 63:16. */
const DEBUGCTL_RESERVED = ~0xffc7n;
const UNUSABLE = 1n << 16n;

/** Registers that the VMCS always holds while the guest runs. */
const SWITCHED: Readonly<Record<number, number>> = {
  [Msr.SysenterCs]: Field.SysenterCs,
  [Msr.SysenterEsp]: Field.SysenterEsp,
  [Msr.SysenterEip]: Field.SysenterEip,
  [Msr.FsBase]: Field.EsBase + 2 * Segment.Fs,
  [Msr.GsBase]: Field.EsBase + 2 * Segment.Gs,
};

export abstract class VmxState extends GuestProcessor {
  readonly vmcs: Vmcs;
  protected readonly operation: VmxOperation;
  protected readonly block: DataView;

  constructor(parts: GuestProcessorParts, operation: VmxOperation) {
    super(parts);
    const vmcs = operation.current;
    if (!vmcs) throw new Error("the guest is started without a current VMCS");
    this.vmcs = vmcs;
    this.operation = operation;
    this.block = new DataView(parts.core.memory.buffer, parts.run);
  }

  gpr(index: number): bigint {
    return index === Gpr.Rsp ? this.vmcs.get(Field.Rsp) : this.block.getBigUint64(8 * index, true);
  }
  setGpr(index: number, value: bigint): void {
    if (index === Gpr.Rsp) this.vmcs.set(Field.Rsp, value);
    else this.block.setBigUint64(8 * index, value, true);
  }
  get rip(): bigint {
    return this.vmcs.get(Field.Rip);
  }
  set rip(value: bigint) {
    this.vmcs.set(Field.Rip, value);
  }
  get rflags(): bigint {
    return this.vmcs.get(Field.Rflags);
  }
  set rflags(value: bigint) {
    this.vmcs.set(Field.Rflags, value);
  }
  get shadow(): boolean {
    return (this.vmcs.get(Field.Interruptibility) & SHADOW) !== 0n;
  }
  /** That of STI, where interrupts are on. */
  set shadow(on: boolean) {
    const kind = this.interruptsEnabled ? Blocking.Sti : Blocking.MovSs;
    const rest = this.vmcs.get(Field.Interruptibility) & ~SHADOW;
    this.vmcs.set(Field.Interruptibility, on ? rest | BigInt(kind) : rest);
  }
  blockByMovSs(): void {
    this.shadow = false;
    this.vmcs.set(Field.Interruptibility, this.vmcs.get(Field.Interruptibility) | BigInt(Blocking.MovSs));
  }
  get halted(): boolean {
    return this.vmcs.get(Field.Activity) === HLT;
  }
  set halted(on: boolean) {
    this.vmcs.set(Field.Activity, on ? HLT : ACTIVE);
  }
  /** It is SS's DPL. */
  get cpl(): number {
    return (this.vmcs.get32(Field.SsRights) >> 5) & 3;
  }
  /** As a call of another privilege level would leave CS and SS. */
  set cpl(value: number) {
    for (const field of [Field.CsRights, Field.SsRights])
      this.vmcs.set(field, (this.vmcs.get(field) & ~0x60n) | BigInt(value << 5));
  }
  get efer(): bigint {
    return this.switchedMsr(Msr.Efer) ?? 0n;
  }
  /** As if the guest had left since. */
  set efer(value: bigint) {
    this.vmcs.set(Field.Efer, value);
    this.noteMode();
  }
  /** 28.2: at an exit the entry control follows an unrestricted guest, which changes its mode by itself. */
  protected noteMode(): void {
    const { vmcs } = this;
    if (!secondary(vmcs, Secondary.Unrestricted)) return;
    const others = vmcs.get(Field.EntryControls) & ~BigInt(EntryControl.LongMode);
    vmcs.set(Field.EntryControls, this.efer & EFER_LMA ? others | BigInt(EntryControl.LongMode) : others);
  }
  get dr6(): bigint {
    return this.parts.unswitched.dr6;
  }
  set dr6(value: bigint) {
    this.parts.unswitched.dr6 = value;
  }
  get dr7(): bigint {
    return this.vmcs.get(Field.Dr7);
  }
  set dr7(value: bigint) {
    this.vmcs.set(Field.Dr7, value);
  }
  /** Watched bits of CR0 and CR4 are read as the shadows have them (SDM 3, 25.6.6). */
  controlRegister(number: number): bigint {
    if (number === 2) return this.parts.unswitched.cr2;
    if (number === 3) return this.vmcs.get(Field.Cr3);
    const [field, mask, shadow] = number ? [Field.Cr4, Field.Cr4Mask, Field.Cr4Shadow] : [Field.Cr0, Field.Cr0Mask, Field.Cr0Shadow]; // prettier-ignore
    const watched = this.vmcs.get(mask);
    return (this.vmcs.get(field) & ~watched) | (this.vmcs.get(shadow) & watched);
  }
  setControlRegister(number: number, value: bigint): void {
    if (number === 2) this.parts.unswitched.cr2 = value;
    else if (number === 3) this.vmcs.set(Field.Cr3, value);
    else {
      const [field, mask, shadow] = number ? [Field.Cr4, Field.Cr4Mask, Field.Cr4Shadow] : [Field.Cr0, Field.Cr0Mask, Field.Cr0Shadow]; // prettier-ignore
      const watched = this.vmcs.get(mask);
      this.vmcs.set(field, (this.vmcs.get(field) & watched) | (value & ~watched));
      this.vmcs.set(shadow, value);
    }
  }
  segment(index: number): SegmentRegister {
    const { vmcs } = this;
    const rights = vmcs.get32(Field.EsRights + 2 * index);
    return {
      selector: Number(vmcs.get(Field.EsSelector + 2 * index)),
      attributes: (rights & 0xff) | ((rights >> 4) & 0xf00),
      limit: vmcs.get32(Field.EsLimit + 2 * index),
      base: vmcs.get(Field.EsBase + 2 * index),
    };
  }
  setSegment(index: number, { selector, attributes, limit, base }: SegmentRegister): void {
    const { vmcs } = this;
    const rights = BigInt((attributes & 0xff) | ((attributes & 0xf00) << 4));
    vmcs.set(Field.EsSelector + 2 * index, BigInt(selector));
    vmcs.set(Field.EsRights + 2 * index, attributes & PRESENT ? rights : rights | UNUSABLE);
    vmcs.set(Field.EsLimit + 2 * index, BigInt(limit));
    vmcs.set(Field.EsBase + 2 * index, base);
  }
  descriptorTable(name: "gdtr" | "idtr"): TableRegister {
    const [limit, base] = name === "gdtr" ? [Field.GdtrLimit, Field.GdtrBase] : [Field.IdtrLimit, Field.IdtrBase];
    return { limit: this.vmcs.get32(limit), base: this.vmcs.get(base) };
  }

  /** IA32_EFER, IA32_PAT and IA32_DEBUGCTL if entries load them, which with exits that save them is one register. */
  #fieldOf(index: number): number | undefined {
    const loads = (entry: number, exit: number): boolean =>
      this.vmcs.controls(Field.EntryControls, entry) && this.vmcs.controls(Field.ExitControls, exit);
    if (index === Msr.Efer) return loads(EntryControl.LoadEfer, ExitControl.SaveEfer) ? Field.Efer : undefined;
    if (index === Msr.Pat) return loads(EntryControl.LoadPat, ExitControl.SavePat) ? Field.Pat : undefined;
    if (index === Msr.DebugCtl)
      return loads(EntryControl.LoadDebug, ExitControl.SaveDebug) ? Field.Debugctl : undefined;
    return SWITCHED[index];
  }
  switchedMsr(index: number): bigint | undefined {
    const field = this.#fieldOf(index);
    return field === undefined ? undefined : this.vmcs.get(field);
  }
  setSwitchedMsr(index: number, value: bigint): boolean {
    const field = this.#fieldOf(index);
    if (field === undefined) return false;
    if (field === Field.Efer) setEfer(this.vmcs, value);
    else if (isLegal(field, value)) this.vmcs.set(field, value);
    else throw new GeneralProtection();
    return true;
  }
  writeControlRegister(number: number, value: bigint): void {
    if (number === 0) setCr0(this.vmcs, this.operation.capabilities, value);
    else if (number === 4) setCr4(this.vmcs, this.operation.capabilities, value);
    else this.setControlRegister(number, value);
  }
  get tscOffset(): bigint {
    return this.vmcs.controls(Field.ProcessorBased, Primary.TscOffsetting) ? this.vmcs.get(Field.TscOffset) : 0n;
  }
}

/** What WRMSR of the register in a field takes (SDM 4, 2.1). */
function isLegal(field: number, value: bigint): boolean {
  if (field === Field.Pat) return isPat(value);
  if (field === Field.Debugctl) return (value & DEBUGCTL_RESERVED) === 0n;
  return field === Field.SysenterCs || isCanonical(value);
}
