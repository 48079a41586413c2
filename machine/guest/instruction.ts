// What the controls of AMD-V and VT-x have a say in: a guest's instruction, as far as they look at it.
import type { Width } from "../bits.ts";
import type { PlainInstruction } from "./code.ts";

export interface PortAccess {
  readonly port: number;
  readonly width: Width;
  readonly input: boolean;
  /** INS or OUTS, repeated, with 64-bit addresses. */
  readonly string: boolean;
}

export type Instruction =
  | { readonly kind: "cpuid" | "hlt" | "rdtsc" | "hypercall" | "xsetbv" }
  | { readonly kind: "rdmsr" | "wrmsr"; readonly index: number }
  | ({ readonly kind: "port" } & PortAccess)
  /** MOV from or to a control register; the general register is RAX. */
  | { readonly kind: "read control register"; readonly register: number }
  | { readonly kind: "write control register"; readonly register: number; readonly value: bigint }
  | { readonly kind: "plain"; readonly name: PlainInstruction };

/** Why a guest's run ended, by names that both vendors' processors have for it. */
export type ExitKind =
  | "control register"
  | "cpuid"
  | "hlt"
  | "hypercall"
  | "interrupt"
  | "interrupt window"
  | "invd"
  | "invalid"
  | "iret"
  | "msr"
  | "nested page fault"
  | "nmi"
  | "nmi window"
  | "port"
  | "triple fault"
  | "wbinvd"
  | "xsetbv"
  | `number ${number}`;
