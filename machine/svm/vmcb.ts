// The virtual machine control block: AMD64 Architecture Programmer's Manual volume 2 (APM 2), appendices B and C.
import { EventType, type GuestEvent } from "../guest/events.ts";
import type { PhysicalMemory } from "../memory.ts";

/** Offsets in the control area. */
export const Control = {
  InterceptCr: 0x000,
  InterceptExceptions: 0x008,
  InterceptMisc1: 0x00c,
  InterceptMisc2: 0x010,
  IopmBase: 0x040,
  MsrpmBase: 0x048,
  TscOffset: 0x050,
  Asid: 0x058,
  TlbControl: 0x05c,
  VirtualInterrupt: 0x060,
  InterruptShadow: 0x068,
  ExitCode: 0x070,
  ExitInfo1: 0x078,
  ExitInfo2: 0x080,
  ExitIntInfo: 0x088,
  NestedControl: 0x090,
  EventInjection: 0x0a8,
  NestedCr3: 0x0b0,
  NextRip: 0x0c8,
  FetchedCount: 0x0d0,
  FetchedBytes: 0x0d1,
} as const;

/** Offsets in the state save area, from the start of the VMCB. */
export const Save = {
  Es: 0x400,
  Cs: 0x410,
  Ss: 0x420,
  Ds: 0x430,
  FsBase: 0x448,
  GsBase: 0x458,
  Cpl: 0x4cb,
  Efer: 0x4d0,
  Cr4: 0x548,
  Cr3: 0x550,
  Cr0: 0x558,
  Dr7: 0x560,
  Dr6: 0x568,
  Rflags: 0x570,
  Rip: 0x578,
  Rsp: 0x5d8,
  Rax: 0x5f8,
  Star: 0x600,
  Lstar: 0x608,
  Cstar: 0x610,
  Sfmask: 0x618,
  KernelGsBase: 0x620,
  SysenterCs: 0x628,
  SysenterEsp: 0x630,
  SysenterEip: 0x638,
  Cr2: 0x640,
  Pat: 0x668,
} as const;

/** Bits of the word at 00Ch. */
export const Misc1 = {
  Intr: 0,
  Nmi: 1,
  Vintr: 4,
  SelectiveCr0: 5,
  Iret: 20,
  Hlt: 24,
  Ioio: 27,
  Msr: 28,
  Shutdown: 31,
} as const;

export const Exit = {
  ReadCr0: 0x00,
  WriteCr0: 0x10,
  WriteCr8: 0x18,
  Exception: 0x40,
  Intr: 0x60,
  Nmi: 0x61,
  Vintr: 0x64,
  SelectiveCr0: 0x65,
  Rdtsc: 0x6e,
  Cpuid: 0x72,
  Iret: 0x74,
  Invd: 0x76,
  Hlt: 0x78,
  Ioio: 0x7b,
  Msr: 0x7c,
  Shutdown: 0x7f,
  Vmrun: 0x80,
  Vmmcall: 0x81,
  Wbinvd: 0x89,
  Xsetbv: 0x8d,
  NestedPageFault: 0x400,
  Invalid: 0xffff_ffff_ffff_ffffn,
} as const;

export const EVENT_VALID = 1n << 31n;

/** EVENTINJ and EXITINTINFO (15.20). */
export function parseEvent(word: bigint): GuestEvent | undefined {
  if ((word & EVENT_VALID) === 0n) return undefined;
  const error = word & (1n << 11n) ? Number(word >> 32n) : undefined;
  return { type: Number((word >> 8n) & 7n), vector: Number(word & 0xffn), error };
}

export function encodeEvent({ type, vector, error }: GuestEvent): bigint {
  const kind = type === EventType.SoftwareException ? EventType.Exception : type;
  const withError = error === undefined ? 0n : (1n << 11n) | (BigInt(error) << 32n);
  return EVENT_VALID | (BigInt(kind) << 8n) | BigInt(vector) | withError;
}

/** A VMCB in physical memory. */
export class Vmcb {
  readonly #memory: PhysicalMemory;
  readonly base: number;

  constructor(memory: PhysicalMemory, base: number) {
    this.#memory = memory;
    this.base = base;
  }
  get(offset: number): bigint {
    return this.#memory.read64(this.base + offset);
  }
  set(offset: number, value: bigint): void {
    this.#memory.write64(this.base + offset, value);
  }
  get32(offset: number): number {
    return this.#memory.read32(this.base + offset);
  }
  get16(offset: number): number {
    return this.#memory.read16(this.base + offset);
  }
  get8(offset: number): number {
    return this.#memory.read8(this.base + offset);
  }
  set8(offset: number, value: number): void {
    this.#memory.write8(this.base + offset, value);
  }

  /** Whether bit `code - 0x60` and on of the two words of general intercepts is set. */
  intercepts(code: number): boolean {
    if (code < 0x20) return ((this.get32(Control.InterceptCr) >>> code) & 1) === 1;
    if (code >= 0x40 && code < 0x60) return ((this.get32(Control.InterceptExceptions) >>> (code - 0x40)) & 1) === 1;
    const word = code < 0x80 ? Control.InterceptMisc1 : Control.InterceptMisc2;
    return ((this.get32(word) >>> (code & 31)) & 1) === 1;
  }

  /** Whether a bit of the first of these words, 00Ch, is set. */
  hasMisc1(bit: number): boolean {
    return ((this.get32(Control.InterceptMisc1) >>> bit) & 1) === 1;
  }

  /** The first rule of VMRUN's checks (15.5.1) that the state breaks, in words; undefined if it may run. */
  fault(): string | undefined {
    return VMRUN_RULES.find(([, broken]) => broken(this))?.[0];
  }
}

const CR0_PG = 1 << 31;
const CR4_PAE = 1 << 5;
const EFER_LME = 1 << 8;

function hasLongPaging(vmcb: Vmcb): boolean {
  return (vmcb.get32(Save.Cr0) & CR0_PG) !== 0 && (vmcb.get32(Save.Efer) & EFER_LME) !== 0;
}

const VMRUN_RULES: readonly [string, (vmcb: Vmcb) => boolean][] = [
  ["EFER.SVME is zero", (vmcb) => (vmcb.get32(Save.Efer) & (1 << 12)) === 0],
  ["CR0.CD is zero and CR0.NW is set", (vmcb) => (vmcb.get32(Save.Cr0) & 0x6000_0000) === 0x2000_0000],
  ["CR0 bits 63:32 are not zero", (vmcb) => vmcb.get32(Save.Cr0 + 4) !== 0],
  ["CR4 bits 63:32 are not zero", (vmcb) => vmcb.get32(Save.Cr4 + 4) !== 0],
  ["DR6 bits 63:32 are not zero", (vmcb) => vmcb.get32(Save.Dr6 + 4) !== 0],
  ["DR7 bits 63:32 are not zero", (vmcb) => vmcb.get32(Save.Dr7 + 4) !== 0],
  ["EFER has a reserved bit", (vmcb) => (vmcb.get32(Save.Efer) & ~0x1_fd01) !== 0 || vmcb.get32(Save.Efer + 4) !== 0],
  [
    "EFER.LME and CR0.PG are set and CR4.PAE is zero",
    (vmcb) => hasLongPaging(vmcb) && (vmcb.get32(Save.Cr4) & CR4_PAE) === 0,
  ],
  ["EFER.LME and CR0.PG are set and CR0.PE is zero", (vmcb) => hasLongPaging(vmcb) && (vmcb.get32(Save.Cr0) & 1) === 0],
  [
    "EFER.LME, CR0.PG, CR4.PAE, CS.L and CS.D are all set",
    (vmcb) => hasLongPaging(vmcb) && (vmcb.get16(Save.Cs + 2) & 0x600) === 0x600,
  ],
  ["the VMRUN intercept is clear", (vmcb) => !vmcb.intercepts(Exit.Vmrun)],
  ["the ASID is zero", (vmcb) => vmcb.get32(Control.Asid) === 0],
  [
    "EVENTINJ is illegal",
    (vmcb) => vmcb.get32(Control.EventInjection) >>> 31 === 1 && !isLegalInjection(vmcb.get32(Control.EventInjection)),
  ],
];

/** 15.20: reserved types, and exceptions that are none, are not to be injected. */
function isLegalInjection(word: number): boolean {
  const type = (word >>> 8) & 7;
  const vector = word & 0xff;
  if (type === EventType.Exception) return vector < 32 && vector !== 2;
  return type === EventType.External || type === EventType.Nmi || type === EventType.SoftwareInterrupt;
}
