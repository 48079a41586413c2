// Which of the guest's instructions exit under AMD-V, and with what in the exit's fields (APM 2, 15.7 to 15.11 and appendix C).
import type { PlainInstruction } from "../guest/code.ts";
import type { ExitKind, Instruction, PortAccess } from "../guest/instruction.ts";
import type { PhysicalMemory } from "../memory.ts";
import { ioExits, msrExits } from "./permissions.ts";
import { Control, Exit, Misc1, Save, type Vmcb } from "./vmcb.ts";

export interface SvmExit {
  readonly code: number;
  readonly info1?: bigint | number;
  readonly info2?: bigint;
}

const Ioio = { In: 1, String: 4, Rep: 8, Address64: 1 << 9 } as const;
/** EXITINFO1 of a MOV to a control register: bit 63, and the general register, RAX (15.8.1). */
const MOV_FROM_RAX = 1n << 63n;
/** TS and MP of CR0, whose changes alone are no selective write (15.9). */
const CR0_UNSELECTED = 0xan;

const PLAIN: Readonly<Partial<Record<PlainInstruction, number>>> = {
  rdpmc: 0x6f,
  invd: Exit.Invd,
  pause: 0x77,
  invlpga: 0x7a,
  vmrun: Exit.Vmrun,
  vmload: 0x82,
  vmsave: 0x83,
  stgi: 0x84,
  clgi: 0x85,
  skinit: 0x86,
  rdtscp: 0x87,
  wbinvd: Exit.Wbinvd,
  monitor: 0x8a,
  mwait: 0x8b,
};
const SIMPLE = {
  cpuid: Exit.Cpuid,
  hlt: Exit.Hlt,
  rdtsc: Exit.Rdtsc,
  hypercall: Exit.Vmmcall,
  xsetbv: Exit.Xsetbv,
} as const;

const KINDS = new Map<number, ExitKind>([
  [Exit.WriteCr8, "control register"],
  [Exit.SelectiveCr0, "control register"],
  [Exit.Intr, "interrupt"],
  [Exit.Nmi, "nmi"],
  [Exit.Vintr, "interrupt window"],
  [Exit.Cpuid, "cpuid"],
  [Exit.Iret, "iret"],
  [Exit.Invd, "invd"],
  [Exit.Hlt, "hlt"],
  [Exit.Ioio, "port"],
  [Exit.Msr, "msr"],
  [Exit.Shutdown, "triple fault"],
  [Exit.Vmmcall, "hypercall"],
  [Exit.Wbinvd, "wbinvd"],
  [Exit.Xsetbv, "xsetbv"],
  [Exit.NestedPageFault, "nested page fault"],
]);

export function kindOf(code: number): ExitKind {
  return KINDS.get(code) ?? `number ${code}`;
}

/** The exit of an instruction that ends at `next`; undefined if it is not intercepted. */
export function exitOf(
  vmcb: Vmcb,
  memory: PhysicalMemory,
  instruction: Instruction,
  next: bigint,
): SvmExit | undefined {
  switch (instruction.kind) {
    case "rdmsr":
    case "wrmsr":
      return msrExit(vmcb, memory, instruction.index, instruction.kind === "wrmsr");
    case "port":
      return portExit(vmcb, memory, instruction, next);
    case "read control register":
      return ifIntercepted(vmcb, { code: Exit.ReadCr0 + instruction.register });
    case "write control register":
      return controlRegisterExit(vmcb, instruction.register, instruction.value);
    case "plain": {
      const code = PLAIN[instruction.name];
      return code === undefined ? undefined : ifIntercepted(vmcb, { code });
    }
    default:
      return ifIntercepted(vmcb, { code: SIMPLE[instruction.kind] });
  }
}

function ifIntercepted(vmcb: Vmcb, exit: SvmExit): SvmExit | undefined {
  return vmcb.intercepts(exit.code) ? exit : undefined;
}

function msrExit(vmcb: Vmcb, memory: PhysicalMemory, index: number, write: boolean): SvmExit | undefined {
  const map = Number(vmcb.get(Control.MsrpmBase));
  if (!vmcb.hasMisc1(Misc1.Msr) || !msrExits(memory, map, index, write)) return undefined;
  return { code: Exit.Msr, info1: write ? 1 : 0 };
}

function portExit(vmcb: Vmcb, memory: PhysicalMemory, access: PortAccess, next: bigint): SvmExit | undefined {
  const { port, width, input, string } = access;
  if (!vmcb.hasMisc1(Misc1.Ioio) || !ioExits(memory, Number(vmcb.get(Control.IopmBase)), port, width)) return undefined;
  const flags = (input ? Ioio.In : 0) | (string ? Ioio.String | Ioio.Rep | Ioio.Address64 : 0);
  return { code: Exit.Ioio, info1: ((port << 16) | (width << 4) | flags) >>> 0, info2: next };
}

function controlRegisterExit(vmcb: Vmcb, register: number, value: bigint): SvmExit | undefined {
  if (vmcb.intercepts(Exit.WriteCr0 + register)) return { code: Exit.WriteCr0 + register, info1: MOV_FROM_RAX };
  const selected = register === 0 && ((vmcb.get(Save.Cr0) ^ value) & ~CR0_UNSELECTED) !== 0n;
  return selected && vmcb.hasMisc1(Misc1.SelectiveCr0) ? { code: Exit.SelectiveCr0 } : undefined;
}
