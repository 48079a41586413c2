// A processor with VT-x and a VMCS of the test's own, under a core of a few lines.
import type { CoreExports } from "../../../machine/core.ts";
import { Guest } from "../../../machine/guest/guest.ts";
import { Machine } from "../../../machine/machine.ts";
import { UnswitchedRegisters } from "../../../machine/unswitched.ts";
import { REVISION, VmxCapabilities } from "../../../machine/vmx/capabilities.ts";
import { HOST_STATE } from "../../../machine/vmx/host-state.ts";
import { VmxOperation } from "../../../machine/vmx/operation.ts";
import { VmxProcessor } from "../../../machine/vmx/processor.ts";
import { EntryControl, ExitControl, Field, Primary, Secondary, type Vmcs } from "../../../machine/vmx/vmcs.ts";
import { longMode } from "../vmx/states.ts";

const LINEAR = 0x200_0000;
const RUN = 0x2000;
const VMXON = LINEAR + 0x3000;
const VMCS = LINEAR + 0x4000;
export const IO_BITMAPS = LINEAR + 0x5000;
export const MSR_BITMAPS = LINEAR + 0x7000;
const TABLES = LINEAR + 0x8000;
export const CODE = 0x1_0000;
const INTERCEPTED = Primary.Secondary | Primary.IoBitmaps | Primary.MsrBitmaps;

/** A table of level `level` of the extended page tables. */
const table = (level: number): number => TABLES + (4 - level) * 0x1000;
/** The entry of a page of 4 KiB below 2 MiB, and of one of 2 MiB below 1 GiB; beyond, memory is in pages of 1 GiB. */
export const smallEntry = (address: number): number => table(1) + 8 * (address >> 12);
export const largeEntry = (address: number): number => table(2) + 8 * (address >> 21);

export class VmxBench implements CoreExports {
  readonly memory = { buffer: new ArrayBuffer(0x2_0000) };
  readonly machine = new Machine();
  readonly guest: Guest;
  readonly operation: VmxOperation;
  /** Reason and qualification of each exit. */
  readonly exits: [number, bigint][] = [];
  /** What the core does about an exit; if nothing is said, it goes on behind the instruction. */
  answer: (reason: number) => void = () => this.advance();

  constructor() {
    const { memory, apic } = this.machine;
    memory.mapLinear(LINEAR, this.memory.buffer);
    for (const region of [VMXON, VMCS]) memory.write32(region, REVISION);
    this.operation = new VmxOperation(memory, new VmxCapabilities());
    this.operation.vmxon(VMXON);
    this.operation.vmclear(VMCS);
    this.operation.vmptrld(VMCS);
    this.#fill();
    this.#map();
    const unswitched = new UnswitchedRegisters();
    const parts = { core: this, run: RUN, memory, apic, unswitched, forbidTraps: true };
    const { ports, msrs, cpuid, clock } = this.machine;
    const processor = new VmxProcessor(parts, this.operation);
    this.guest = new Guest(processor, { ports, msrs, cpuid, clock, unswitched }, CODE);
  }

  #fill(): void {
    const controls = new VmxCapabilities();
    const required = (field: number): bigint => BigInt(controls.allowed(field).required >>> 0);
    const entry = EntryControl.LoadDebug | EntryControl.LoadPat | EntryControl.LoadEfer | EntryControl.LongMode;
    const exit = ExitControl.HostAddressSpace | ExitControl.SaveEfer | ExitControl.LoadEfer;
    const fields: (readonly [number, bigint])[] = [
      ...longMode(),
      ...HOST_STATE,
      [Field.Cr3, BigInt(this.machine.firmware.context.cr3)],
      [Field.Rip, BigInt(CODE)],
      [Field.Rflags, 2n],
      [Field.PinBased, required(Field.PinBased)],
      [Field.ProcessorBased, required(Field.ProcessorBased) | BigInt(INTERCEPTED >>> 0)],
      [Field.Secondary, BigInt(Secondary.Ept | Secondary.Unrestricted)],
      [Field.ExitControls, required(Field.ExitControls) | BigInt(exit)],
      [Field.EntryControls, required(Field.EntryControls) | BigInt(entry)],
      [Field.EptPointer, BigInt(table(4)) | (3n << 3n) | 6n],
      [Field.IoBitmapA, BigInt(IO_BITMAPS)],
      [Field.IoBitmapB, BigInt(IO_BITMAPS + 0x1000)],
      [Field.MsrBitmaps, BigInt(MSR_BITMAPS)],
      [Field.HostEfer, 0xd01n],
    ];
    for (const [field, value] of fields) this.operation.vmwrite(field, value);
  }

  /** Every address to itself, write-back. */
  #map(): void {
    const { memory } = this.machine;
    for (let i = 0; i < 512; i++) {
      memory.write64(table(3) + 8 * i, BigInt(i) * 0x4000_0000n + 0xb7n);
      memory.write64(table(2) + 8 * i, BigInt(i) * 0x20_0000n + 0xb7n);
      memory.write64(table(1) + 8 * i, BigInt(i) * 0x1000n + 0x37n);
    }
    for (const level of [4, 3, 2]) memory.write64(table(level), BigInt(table(level - 1)) + 7n);
  }

  get vmcs(): Vmcs {
    return this.operation.current!;
  }
  /** Sets bits of a field. */
  add(field: number, bits: number): void {
    this.vmcs.set(field, this.vmcs.get(field) | BigInt(bits >>> 0));
  }
  remove(field: number, bits: number): void {
    this.vmcs.set(field, this.vmcs.get(field) & ~BigInt(bits >>> 0));
  }
  advance(bytes = this.vmcs.get(Field.ExitInstructionLength)): void {
    this.vmcs.set(Field.Rip, this.vmcs.get(Field.Rip) + bytes);
  }

  vmxExit(): number {
    const reason = Number(this.vmcs.get(Field.ExitReason));
    this.exits.push([reason, this.vmcs.get(Field.ExitQualification)]);
    this.answer(reason);
    return 0;
  }
  boot(): bigint {
    return 0n;
  }
  processor(): void {
    // there is no other
  }
  exit(): number {
    throw new Error("this processor has VT-x");
  }
  wake(): number {
    throw new Error("this processor has VT-x");
  }
  vmxWake(): number {
    return 0;
  }
  trap(): number {
    return 1;
  }
}
