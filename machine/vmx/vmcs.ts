// The virtual-machine control structure: Intel 64 and IA-32 Architectures Software Developer's Manual volume 3 (SDM 3),
// chapter 25 and appendix B.

/** Encodings. */
export const Field = {
  Vpid: 0x0000,
  EsSelector: 0x0800,
  CsSelector: 0x0802,
  SsSelector: 0x0804,
  LdtrSelector: 0x080c,
  TrSelector: 0x080e,
  HostEsSelector: 0x0c00,
  HostCsSelector: 0x0c02,
  HostSsSelector: 0x0c04,
  HostTrSelector: 0x0c0c,
  IoBitmapA: 0x2000,
  IoBitmapB: 0x2002,
  MsrBitmaps: 0x2004,
  TscOffset: 0x2010,
  EptPointer: 0x201a,
  XssExitingBitmap: 0x202c,
  GuestPhysicalAddress: 0x2400,
  LinkPointer: 0x2800,
  Debugctl: 0x2802,
  Pat: 0x2804,
  Efer: 0x2806,
  Pdpte0: 0x280a,
  HostPat: 0x2c00,
  HostEfer: 0x2c02,
  PinBased: 0x4000,
  ProcessorBased: 0x4002,
  ExceptionBitmap: 0x4004,
  Cr3TargetCount: 0x400a,
  ExitControls: 0x400c,
  EntryControls: 0x4012,
  EntryInterruption: 0x4016,
  EntryErrorCode: 0x4018,
  EntryInstructionLength: 0x401a,
  Secondary: 0x401e,
  InstructionError: 0x4400,
  ExitReason: 0x4402,
  ExitInterruption: 0x4404,
  ExitErrorCode: 0x4406,
  IdtVectoring: 0x4408,
  IdtVectoringErrorCode: 0x440a,
  ExitInstructionLength: 0x440c,
  EsLimit: 0x4800,
  CsLimit: 0x4802,
  GdtrLimit: 0x4810,
  IdtrLimit: 0x4812,
  EsRights: 0x4814,
  CsRights: 0x4816,
  SsRights: 0x4818,
  Interruptibility: 0x4824,
  Activity: 0x4826,
  SysenterCs: 0x482a,
  HostSysenterCs: 0x4c00,
  Cr0Mask: 0x6000,
  Cr4Mask: 0x6002,
  Cr0Shadow: 0x6004,
  Cr4Shadow: 0x6006,
  ExitQualification: 0x6400,
  GuestLinearAddress: 0x640a,
  Cr0: 0x6800,
  Cr3: 0x6802,
  Cr4: 0x6804,
  EsBase: 0x6806,
  GdtrBase: 0x6816,
  IdtrBase: 0x6818,
  Dr7: 0x681a,
  Rsp: 0x681c,
  Rip: 0x681e,
  Rflags: 0x6820,
  PendingDebug: 0x6822,
  SysenterEsp: 0x6824,
  SysenterEip: 0x6826,
  HostCr0: 0x6c00,
  HostCr3: 0x6c02,
  HostCr4: 0x6c04,
  HostFsBase: 0x6c06,
  HostGsBase: 0x6c08,
  HostTrBase: 0x6c0a,
  HostGdtrBase: 0x6c0c,
  HostIdtrBase: 0x6c0e,
  HostSysenterEsp: 0x6c10,
  HostSysenterEip: 0x6c12,
  HostRsp: 0x6c14,
  HostRip: 0x6c16,
} as const;

/** First and last encoding of each stretch of fields that every processor with EPT and VPID has. */
const STRETCHES: readonly (readonly [number, number])[] = [
  [0x0000, 0x0000],
  [0x0800, 0x080e],
  [0x0c00, 0x0c0c],
  [0x2000, 0x2014],
  [0x201a, 0x201a],
  [0x2400, 0x2400],
  [0x2800, 0x2810],
  [0x2c00, 0x2c04],
  [0x4000, 0x4022],
  [0x4400, 0x440e],
  [0x4800, 0x482a],
  [0x482e, 0x482e],
  [0x4c00, 0x4c00],
  [0x6000, 0x600e],
  [0x6400, 0x640a],
  [0x6800, 0x6826],
  [0x6c00, 0x6c16],
];

const HIGH = 1;
const READ_ONLY = 1;
/** Widths of fields by bits 14:13 of the encoding: table 25-21. */
const WIDTH_BITS = [16, 64, 32, 64];

const isWide = (encoding: number): boolean => ((encoding >> 13) & 3) === 1;

/** Whether a field is one of those that no instruction writes. */
export function isReadOnly(encoding: number): boolean {
  return ((encoding >> 10) & 3) === READ_ONLY;
}

export class Vmcs {
  /** VMLAUNCH has succeeded since the last VMCLEAR (25.1). */
  launched = false;
  readonly #values = new Map<number, bigint>();
  readonly #more: readonly number[];
  readonly #missing: readonly number[];

  /** `more`: fields that only newer processors have. */
  constructor(more: readonly number[] = [], missing: readonly number[] = []) {
    this.#more = more;
    this.#missing = missing;
  }

  has(encoding: number): boolean {
    const full = encoding & ~HIGH;
    if ((encoding & HIGH && !isWide(encoding)) || this.#missing.includes(full)) return false;
    return this.#more.includes(full) || STRETCHES.some(([first, last]) => full >= first && full <= last);
  }

  get(encoding: number): bigint {
    const value = this.#values.get(encoding & ~HIGH) ?? 0n;
    return encoding & HIGH ? value >> 32n : value;
  }

  /** Bits beyond the field's width are lost. */
  set(encoding: number, value: bigint): void {
    const full = encoding & ~HIGH;
    if (encoding & HIGH) {
      this.#values.set(full, (this.get(full) & 0xffff_ffffn) | (BigInt.asUintN(32, value) << 32n));
    } else {
      this.#values.set(full, BigInt.asUintN(WIDTH_BITS[(encoding >> 13) & 3]!, value));
    }
  }

  get32(encoding: number): number {
    return Number(this.get(encoding) & 0xffff_ffffn);
  }

  /** Whether any of some bits of a field of controls is set. */
  controls(encoding: number, bits: number): boolean {
    return (this.get32(encoding) & bits) !== 0;
  }
}

export const Pin = { ExternalInterrupt: 1 << 0, Nmi: 1 << 3, VirtualNmis: 1 << 5 } as const;
export const Primary = {
  InterruptWindow: 1 << 2,
  TscOffsetting: 1 << 3,
  Hlt: 1 << 7,
  Mwait: 1 << 10,
  Rdpmc: 1 << 11,
  Rdtsc: 1 << 12,
  Cr3Load: 1 << 15,
  Cr3Store: 1 << 16,
  Cr8Load: 1 << 19,
  Cr8Store: 1 << 20,
  TprShadow: 1 << 21,
  NmiWindow: 1 << 22,
  UnconditionalIo: 1 << 24,
  IoBitmaps: 1 << 25,
  MsrBitmaps: 1 << 28,
  Monitor: 1 << 29,
  Pause: 1 << 30,
  Secondary: 1 << 31,
} as const;
export const Secondary = {
  Ept: 1 << 1,
  Rdtscp: 1 << 3,
  Vpid: 1 << 5,
  Wbinvd: 1 << 6,
  Unrestricted: 1 << 7,
  Invpcid: 1 << 12,
  Xsaves: 1 << 20,
} as const;
export const ExitControl = {
  SaveDebug: 1 << 2,
  HostAddressSpace: 1 << 9,
  Acknowledge: 1 << 15,
  SavePat: 1 << 18,
  LoadPat: 1 << 19,
  SaveEfer: 1 << 20,
  LoadEfer: 1 << 21,
} as const;
export const EntryControl = { LoadDebug: 1 << 2, LongMode: 1 << 9, LoadPat: 1 << 14, LoadEfer: 1 << 15 } as const;
export const Blocking = { Sti: 1, MovSs: 2, Smi: 4, Nmi: 8 } as const;
