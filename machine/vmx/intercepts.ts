// Which of the guest's instructions exit under VT-x, and with what in the exit's fields (SDM 3, 26.1 and 28.2, appendix C).
import type { PlainInstruction } from "../guest/code.ts";
import { GuestException, Vector } from "../guest/events.ts";
import type { ExitKind, Instruction, PortAccess } from "../guest/instruction.ts";
import type { PhysicalMemory } from "../memory.ts";
import { secondary } from "./entry-rules.ts";
import { ExitReason } from "./exit-reasons.ts";
import { ioExits, msrExits } from "./permissions.ts";
import { Field, Primary, Secondary, type Vmcs } from "./vmcs.ts";

export interface InstructionExit {
  readonly reason: number;
  readonly qualification?: bigint;
}

/** Instructions that exit whatever the controls say. */
const UNCONDITIONAL: Readonly<Partial<Record<PlainInstruction, number>>> = {
  invd: ExitReason.Invd,
  vmclear: ExitReason.Vmclear,
  vmlaunch: 20,
  vmptrld: 21,
  vmptrst: 22,
  vmread: 23,
  vmresume: 24,
  vmwrite: 25,
  vmxoff: 26,
  vmxon: ExitReason.Vmxon,
  invept: ExitReason.Invept,
  invvpid: ExitReason.Invvpid,
};
/** And those that exit by a primary control: the control and the reason. */
const CONDITIONAL: Readonly<Partial<Record<PlainInstruction, readonly [number, number]>>> = {
  mwait: [Primary.Mwait, 36],
  rdpmc: [Primary.Rdpmc, 15],
  monitor: [Primary.Monitor, 39],
  pause: [Primary.Pause, 40],
};

const KINDS = new Map<number, ExitKind>([
  [ExitReason.ExceptionOrNmi, "nmi"],
  [ExitReason.ExternalInterrupt, "interrupt"],
  [ExitReason.TripleFault, "triple fault"],
  [ExitReason.InterruptWindow, "interrupt window"],
  [ExitReason.NmiWindow, "nmi window"],
  [ExitReason.Cpuid, "cpuid"],
  [ExitReason.Hlt, "hlt"],
  [ExitReason.Invd, "invd"],
  [ExitReason.Vmcall, "hypercall"],
  [ExitReason.ControlRegister, "control register"],
  [ExitReason.IoInstruction, "port"],
  [ExitReason.Rdmsr, "msr"],
  [ExitReason.Wrmsr, "msr"],
  [ExitReason.EptViolation, "nested page fault"],
  [ExitReason.Wbinvd, "wbinvd"],
  [ExitReason.Xsetbv, "xsetbv"],
]);

export function kindOf(reason: number): ExitKind {
  return KINDS.get(reason) ?? `number ${reason}`;
}

/** The exit of an instruction; undefined if it is carried out. */
export function exitOf(vmcs: Vmcs, memory: PhysicalMemory, instruction: Instruction): InstructionExit | undefined {
  const primary = (control: number): boolean => vmcs.controls(Field.ProcessorBased, control);
  switch (instruction.kind) {
    case "cpuid":
      return { reason: ExitReason.Cpuid };
    case "hypercall":
      return { reason: ExitReason.Vmcall };
    case "xsetbv":
      return { reason: ExitReason.Xsetbv };
    case "hlt":
      return primary(Primary.Hlt) ? { reason: ExitReason.Hlt } : undefined;
    case "rdtsc":
      return primary(Primary.Rdtsc) ? { reason: 16 } : undefined;
    case "rdmsr":
      return msrExits(vmcs, memory, instruction.index, false) ? { reason: ExitReason.Rdmsr } : undefined;
    case "wrmsr":
      return msrExits(vmcs, memory, instruction.index, true) ? { reason: ExitReason.Wrmsr } : undefined;
    case "port":
      return portExit(vmcs, memory, instruction);
    case "read control register":
      return controlRegisterExit(vmcs, instruction.register);
    case "write control register":
      return controlRegisterExit(vmcs, instruction.register, instruction.value);
    case "plain":
      return plainExit(vmcs, instruction.name);
  }
}

const Io = { In: 1 << 3, String: 1 << 4, Rep: 1 << 5 } as const;

/** Table 28-5. */
function portExit(vmcs: Vmcs, memory: PhysicalMemory, access: PortAccess): InstructionExit | undefined {
  const { port, width, input, string } = access;
  if (!ioExits(vmcs, memory, port, width)) return undefined;
  const flags = (input ? Io.In : 0) | (string ? Io.String | Io.Rep : 0);
  return { reason: ExitReason.IoInstruction, qualification: BigInt(((port << 16) | flags | (width - 1)) >>> 0) };
}

const MOV_FROM = 1n << 4n;

/** Table 28-3; the general register is RAX. `value` is what is written, undefined for a read. */
function controlRegisterExit(vmcs: Vmcs, register: number, value?: bigint): InstructionExit | undefined {
  const primary = (control: number): boolean => vmcs.controls(Field.ProcessorBased, control);
  const changes = (mask: number, shadow: number): boolean =>
    value !== undefined && ((value ^ vmcs.get(shadow)) & vmcs.get(mask)) !== 0n;
  const exits =
    (register === 0 && changes(Field.Cr0Mask, Field.Cr0Shadow)) ||
    (register === 4 && changes(Field.Cr4Mask, Field.Cr4Shadow)) ||
    (register === 3 && primary(value === undefined ? Primary.Cr3Store : Primary.Cr3Load)) ||
    (register === 8 && primary(value === undefined ? Primary.Cr8Store : Primary.Cr8Load));
  if (!exits) return undefined;
  return {
    reason: ExitReason.ControlRegister,
    qualification: BigInt(register) | (value === undefined ? MOV_FROM : 0n),
  };
}

function plainExit(vmcs: Vmcs, name: PlainInstruction): InstructionExit | undefined {
  const reason = UNCONDITIONAL[name];
  if (reason !== undefined) return { reason };
  if (name === "wbinvd") return secondary(vmcs, Secondary.Wbinvd) ? { reason: ExitReason.Wbinvd } : undefined;
  if (name === "rdtscp") return timestampExit(vmcs);
  const [control, number] = CONDITIONAL[name] ?? [0, 0];
  return vmcs.controls(Field.ProcessorBased, control) ? { reason: number } : undefined;
}

function timestampExit(vmcs: Vmcs): InstructionExit | undefined {
  if (!secondary(vmcs, Secondary.Rdtscp)) throw new GuestException(Vector.InvalidOpcode);
  return vmcs.controls(Field.ProcessorBased, Primary.Rdtsc) ? { reason: 51 } : undefined;
}
