// The instructions that the simulated guest executes, as bytes: AMD64 Architecture Programmer's Manual volume 3.
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
  hlt: [0xf4],
  /** MOV CR8, RAX */
  writeCr8: [0x44, 0x0f, 0x22, 0xc0],
  /** MOV RAX, CRn */
  readCr: (cr: number): number[] => [...(cr === 8 ? [0x44] : []), 0x0f, 0x20, 0xc0 | ((cr & 7) << 3)],
  /** MOV CRn, RAX */
  writeCr: (cr: number): number[] => [...(cr === 8 ? [0x44] : []), 0x0f, 0x22, 0xc0 | ((cr & 7) << 3)],
} as const;

/** Instructions whose only interest is that they exit: bytes and exit code (APM 2, table C-1). */
export const PLAIN = {
  rdpmc: { bytes: [0x0f, 0x33], code: 0x6f },
  invd: { bytes: [0x0f, 0x08], code: 0x76 },
  pause: { bytes: [0xf3, 0x90], code: 0x77 },
  invlpga: { bytes: [0x0f, 0x01, 0xdf], code: 0x7a },
  vmrun: { bytes: [0x0f, 0x01, 0xd8], code: 0x80 },
  vmload: { bytes: [0x0f, 0x01, 0xda], code: 0x82 },
  vmsave: { bytes: [0x0f, 0x01, 0xdb], code: 0x83 },
  stgi: { bytes: [0x0f, 0x01, 0xdc], code: 0x84 },
  clgi: { bytes: [0x0f, 0x01, 0xdd], code: 0x85 },
  skinit: { bytes: [0x0f, 0x01, 0xde], code: 0x86 },
  rdtscp: { bytes: [0x0f, 0x01, 0xf9], code: 0x87 },
  wbinvd: { bytes: [0x0f, 0x09], code: 0x89 },
  monitor: { bytes: [0x0f, 0x01, 0xc8], code: 0x8a },
  mwait: { bytes: [0x0f, 0x01, 0xc9], code: 0x8b },
  xsetbv: { bytes: [0x0f, 0x01, 0xd1], code: 0x8d },
} as const;
export type PlainInstruction = keyof typeof PLAIN;
