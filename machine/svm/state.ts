// The registers of a guest under AMD-V: some in the VMCB, the others in the core's GuestRun block.
import { GuestProcessor, type GuestProcessorParts } from "../guest/processor.ts";
import { Gpr, type SegmentRegister, type TableRegister } from "../guest/state.ts";
import { Efer, GeneralProtection, isPat, Msr } from "../msrs.ts";
import { Control, Save, Vmcb } from "./vmcb.ts";

/** Where the run block has the VMCB's address. */
const GUEST_VMCB = 0x90;
const SHADOW = 1n;
const CONTROL_REGISTERS: Readonly<Record<number, number>> = { 0: Save.Cr0, 2: Save.Cr2, 3: Save.Cr3, 4: Save.Cr4 };
/** Slots of the save area, of 16 bytes from ES on. */
const SLOTS = [0, 1, 2, 3, 4, 5, 7, 9];
const TABLES = { gdtr: 6, idtr: 8 } as const;

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

export abstract class SvmState extends GuestProcessor {
  readonly vmcb: Vmcb;
  readonly #registers: DataView;

  constructor(parts: GuestProcessorParts) {
    super(parts);
    this.#registers = new DataView(parts.core.memory.buffer, parts.run);
    this.vmcb = new Vmcb(parts.memory, Number(this.#registers.getBigUint64(GUEST_VMCB, true)));
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
  get shadow(): boolean {
    return (this.vmcb.get(Control.InterruptShadow) & SHADOW) !== 0n;
  }
  set shadow(on: boolean) {
    const rest = this.vmcb.get(Control.InterruptShadow) & ~SHADOW;
    this.vmcb.set(Control.InterruptShadow, on ? rest | SHADOW : rest);
  }
  blockByMovSs(): void {
    this.shadow = true;
  }
  get cpl(): number {
    return this.vmcb.get8(Save.Cpl);
  }
  set cpl(value: number) {
    this.vmcb.set8(Save.Cpl, value);
  }
  get efer(): bigint {
    return this.vmcb.get(Save.Efer) & ~Efer.Svme;
  }
  set efer(value: bigint) {
    this.vmcb.set(Save.Efer, value | Efer.Svme);
  }
  get dr6(): bigint {
    return this.vmcb.get(Save.Dr6);
  }
  set dr6(value: bigint) {
    this.vmcb.set(Save.Dr6, value);
  }
  get dr7(): bigint {
    return this.vmcb.get(Save.Dr7);
  }
  set dr7(value: bigint) {
    this.vmcb.set(Save.Dr7, value);
  }
  controlRegister(number: number): bigint {
    return this.vmcb.get(CONTROL_REGISTERS[number]!);
  }
  setControlRegister(number: number, value: bigint): void {
    this.vmcb.set(CONTROL_REGISTERS[number]!, value);
  }
  segment(index: number): SegmentRegister {
    const [{ vmcb }, at] = [this, Save.Es + 16 * SLOTS[index]!];
    return {
      selector: vmcb.get16(at),
      attributes: vmcb.get16(at + 2),
      limit: vmcb.get32(at + 4),
      base: vmcb.get(at + 8),
    };
  }
  setSegment(index: number, { selector, attributes, limit, base }: SegmentRegister): void {
    const at = Save.Es + 16 * SLOTS[index]!;
    this.vmcb.set(at, BigInt(selector) | (BigInt(attributes) << 16n) | (BigInt(limit) << 32n));
    this.vmcb.set(at + 8, base);
  }
  descriptorTable(name: "gdtr" | "idtr"): TableRegister {
    const at = Save.Es + 16 * TABLES[name];
    return { limit: this.vmcb.get32(at + 4), base: this.vmcb.get(at + 8) };
  }

  /** Where the VMCB has an MSR. With nested paging the guest has a PAT of its own (APM 2, 15.25.2). */
  #placeOf(index: number): number | undefined {
    const nested = (this.vmcb.get(Control.NestedControl) & 1n) !== 0n;
    return nested && index === Msr.Pat ? Save.Pat : SWITCHED[index];
  }
  switchedMsr(index: number): bigint | undefined {
    const at = this.#placeOf(index);
    return at === undefined ? undefined : this.vmcb.get(at);
  }
  setSwitchedMsr(index: number, value: bigint): boolean {
    const at = this.#placeOf(index);
    if (at === Save.Pat && !isPat(value)) throw new GeneralProtection();
    if (at !== undefined) this.vmcb.set(at, value);
    return at !== undefined;
  }
  writeControlRegister(number: number, value: bigint): void {
    this.setControlRegister(number, value);
  }
  get tscOffset(): bigint {
    return this.vmcb.get(Control.TscOffset);
  }
}
