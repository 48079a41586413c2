// The instructions that the simulated guest executes, as bytes: AMD64 Architecture Programmer's Manual volume 3,
// and Intel SDM volume 2.
import { littleEndian } from "../bits.ts";

const OPERAND_SIZE = 0x66;
const REX_W = 0x48;

export type AccessWidth = 1 | 2 | 4 | 8;

function sized(width: AccessWidth, byteOpcode: number, modrm: readonly number[]): number[] {
  const prefix = width === 2 ? [OPERAND_SIZE] : width === 8 ? [REX_W] : [];
  return [...prefix, width === 1 ? byteOpcode : byteOpcode + 1, ...modrm];
}

export const Code = {
  /** IN AL/AX/EAX, DX */
  in: (width: 1 | 2 | 4): number[] => sized(width, 0xec, []),
  /** OUT DX, AL/AX/EAX */
  out: (width: 1 | 2 | 4): number[] => sized(width, 0xee, []),
  /** REP OUTSB/OUTSW/OUTSD */
  repOuts: (width: 1 | 2 | 4): number[] => [0xf3, ...sized(width, 0x6e, [])],
  /** REP INSB/INSW/INSD */
  repIns: (width: 1 | 2 | 4): number[] => [0xf3, ...sized(width, 0x6c, [])],
  /** MOV CL/CX/ECX/RCX, [RAX] */
  load: (width: AccessWidth): number[] => sized(width, 0x8a, [0x08]),
  /** MOV [RAX], CL/CX/ECX/RCX */
  store: (width: AccessWidth): number[] => sized(width, 0x88, [0x08]),
  /** MOV [RAX], imm32 */
  storeImmediate: (value: number): number[] => [0xc7, 0x00, ...littleEndian(BigInt(value >>> 0), 4)],
  cpuid: [0x0f, 0xa2],
  rdmsr: [0x0f, 0x32],
  wrmsr: [0x0f, 0x30],
  rdtsc: [0x0f, 0x31],
  vmmcall: [0x0f, 0x01, 0xd9],
  vmcall: [0x0f, 0x01, 0xc1],
  xsetbv: [0x0f, 0x01, 0xd1],
  hlt: [0xf4],
  /** MOV RAX, CRn */
  readCr: (cr: number): number[] => [...(cr === 8 ? [0x44] : []), 0x0f, 0x20, 0xc0 | ((cr & 7) << 3)],
  /** MOV CRn, RAX */
  writeCr: (cr: number): number[] => [...(cr === 8 ? [0x44] : []), 0x0f, 0x22, 0xc0 | ((cr & 7) << 3)],
} as const;

/** Instructions whose only interest is whether they exit: those of either vendor's virtualization too. */
export const PLAIN = {
  rdpmc: [0x0f, 0x33],
  invd: [0x0f, 0x08],
  wbinvd: [0x0f, 0x09],
  pause: [0xf3, 0x90],
  rdtscp: [0x0f, 0x01, 0xf9],
  monitor: [0x0f, 0x01, 0xc8],
  mwait: [0x0f, 0x01, 0xc9],
  invlpga: [0x0f, 0x01, 0xdf],
  vmrun: [0x0f, 0x01, 0xd8],
  vmload: [0x0f, 0x01, 0xda],
  vmsave: [0x0f, 0x01, 0xdb],
  stgi: [0x0f, 0x01, 0xdc],
  clgi: [0x0f, 0x01, 0xdd],
  skinit: [0x0f, 0x01, 0xde],
  vmclear: [0x66, 0x0f, 0xc7, 0x30],
  vmlaunch: [0x0f, 0x01, 0xc2],
  vmptrld: [0x0f, 0xc7, 0x30],
  vmptrst: [0x0f, 0xc7, 0x38],
  vmread: [0x0f, 0x78, 0xc8],
  vmresume: [0x0f, 0x01, 0xc3],
  vmwrite: [0x0f, 0x79, 0xc8],
  vmxoff: [0x0f, 0x01, 0xc4],
  vmxon: [0xf3, 0x0f, 0xc7, 0x30],
  invept: [0x66, 0x0f, 0x38, 0x80, 0x08],
  invvpid: [0x66, 0x0f, 0x38, 0x81, 0x08],
} as const;
export type PlainInstruction = keyof typeof PLAIN;
