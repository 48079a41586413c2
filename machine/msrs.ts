// Model-specific registers: AMD64 Architecture Programmer's Manual (APM) volume 2, appendix A.

/** Indices, by the manual's names. */
export const Msr = {
  Tsc: 0x10,
  ApicBase: 0x1b,
  MtrrCap: 0xfe,
  SysenterCs: 0x174,
  SysenterEsp: 0x175,
  SysenterEip: 0x176,
  McgCap: 0x179,
  McgStatus: 0x17a,
  DebugCtl: 0x1d9,
  MtrrPhysBase0: 0x200,
  MtrrFix64K: 0x250,
  Pat: 0x277,
  MtrrDefType: 0x2ff,
  PebsEnable: 0x3f1,
  RtitOutputBase: 0x560,
  RtitOutputMaskPtrs: 0x561,
  RtitCtl: 0x570,
  DsArea: 0x600,
  HwFeedbackPtr: 0x17d0,
  HwFeedbackConfig: 0x17d1,
  Xss: 0xda0,
  Efer: 0xc000_0080,
  Star: 0xc000_0081,
  Lstar: 0xc000_0082,
  Cstar: 0xc000_0083,
  Sfmask: 0xc000_0084,
  FsBase: 0xc000_0100,
  GsBase: 0xc000_0101,
  KernelGsBase: 0xc000_0102,
  TscAux: 0xc000_0103,
  SysCfg: 0xc001_0010,
  HwCr: 0xc001_0015,
  TopMem: 0xc001_001a,
  TopMem2: 0xc001_001d,
  MmioConfigurationBase: 0xc001_0058,
  SmmBase: 0xc001_0111,
  SmmAddr: 0xc001_0112,
  SmmMask: 0xc001_0113,
  VmCr: 0xc001_0114,
  VmHsavePa: 0xc001_0117,
} as const;

export const Efer = { Sce: 1n << 0n, Lme: 1n << 8n, Lma: 1n << 10n, Nxe: 1n << 11n, Svme: 1n << 12n } as const;
export const VmCr = { Lock: 1n << 3n, SvmDis: 1n << 4n } as const;

/** The processor raised #GP(0) for an access to a register or a value it does not have. */
export class GeneralProtection extends Error {}

interface Register {
  value: bigint;
  readonly read?: () => bigint;
  /** Bits that software may set; setting another raises #GP. */
  readonly writable: bigint;
  readonly check?: (value: bigint) => boolean;
}

const ALL = (1n << 64n) - 1n;
export const ADDRESS = 0xff_ffff_ffffn;
const FIXED_MTRRS = [0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f];
const VARIABLE_MTRRS = 8;
const WRITE_BACK = 6n;
/** Eight bytes of memory type, one for each part of a fixed range. */
const FIXED_WRITE_BACK = 0x0606_0606_0606_0606n;

/** Registers that another part answers for; it throws GeneralProtection for what does not exist. */
export interface OtherMsrs {
  has(index: number): boolean;
  read(index: number): bigint;
  write(index: number, value: bigint): void;
}

export interface MsrOptions {
  /** The firmware has turned AMD-V off: VM_CR.SVMDIS, and LOCK so that nobody turns it on. */
  readonly svmDisabled?: boolean;
  /** The processor is AMD's; if left out, it is. */
  readonly amd?: boolean;
  /** The processor has AMD-V at all. */
  readonly svm?: boolean;
  /** The bits of IA32_XSS, on processors with XSAVES (SDM 1, 13.3). */
  readonly xss?: bigint | undefined;
  /** As QEMU's processors do: registers that do not exist read 0 and swallow writes. */
  readonly lenient?: boolean;
  /** Registers that belong to other parts of the processor. */
  readonly others?: readonly OtherMsrs[];
}

/** One processor's model-specific registers, with what OVMF leaves in them. */
export class Msrs {
  readonly #registers = new Map<number, Register>();
  readonly #lenient: boolean;
  readonly #others: readonly OtherMsrs[];

  constructor(readTsc: () => bigint, options: MsrOptions = {}) {
    this.#lenient = options.lenient ?? false;
    this.#others = options.others ?? [];
    this.#define(Msr.Tsc, 0n, ALL, { read: readTsc });
    for (const index of [Msr.SysenterCs, Msr.SysenterEsp, Msr.SysenterEip]) this.#define(index, 0n, ALL);
    this.#define(Msr.McgCap, 0n, 0n);
    this.#define(Msr.McgStatus, 0n, 7n);
    this.#define(Msr.DebugCtl, 0n, 0x7fn);
    this.#defineMemoryTypes();
    for (const index of [Msr.Star, Msr.Lstar, Msr.Cstar, Msr.FsBase, Msr.GsBase, Msr.KernelGsBase]) {
      this.#define(index, 0n, ALL);
    }
    this.#define(Msr.Sfmask, 0n, 0xffff_ffffn);
    this.#define(Msr.TscAux, 0n, 0xffff_ffffn);
    if (options.xss !== undefined) this.#define(Msr.Xss, 0n, options.xss);
    if (options.amd ?? true) this.#defineAmd();
    else this.#defineIntel();
    this.#defineSvm(options);
  }

  read(index: number): bigint {
    const other = this.#others.find((part) => part.has(index));
    if (other) return other.read(index);
    const register = this.#registers.get(index);
    if (register) return register.read ? register.read() : register.value;
    if (this.#lenient) return 0n;
    throw new GeneralProtection(`RDMSR ${index.toString(16)}`);
  }

  write(index: number, value: bigint): void {
    const other = this.#others.find((part) => part.has(index));
    if (other) return other.write(index, value);
    const register = this.#registers.get(index);
    if (!register && this.#lenient) return;
    const valid = register && (value & ~register.writable) === 0n && (register.check?.(value) ?? true);
    if (!valid) throw new GeneralProtection(`WRMSR ${index.toString(16)}, ${value.toString(16)}`);
    register.value = value;
  }

  #define(index: number, value: bigint, writable: bigint, more: Partial<Register> = {}): void {
    this.#registers.set(index, { value, writable, ...more });
  }

  /** What Intel's newer processors write to memory by themselves: traces, records of events, hints (SDM 4, table 2-2). */
  #defineIntel(): void {
    const writers = [Msr.PebsEnable, Msr.RtitOutputBase, Msr.RtitOutputMaskPtrs, Msr.RtitCtl, Msr.DsArea];
    for (const index of [...writers, Msr.HwFeedbackPtr, Msr.HwFeedbackConfig]) this.#define(index, 0n, ALL);
  }

  /** MTRRs as OVMF sets them up: write-back but for the video window and the upper half of the low 4 GiB. */
  #defineMemoryTypes(): void {
    this.#define(Msr.MtrrCap, 0x500n | BigInt(VARIABLE_MTRRS), 0n);
    this.#define(Msr.MtrrDefType, 0xc00n | WRITE_BACK, 0xcffn, { check: (value) => isMemoryType(value & 0xffn) });
    for (const index of FIXED_MTRRS) {
      const check = (value: bigint): boolean => bytesOf(value).every(isMemoryType);
      this.#define(index, index < 0x259 ? FIXED_WRITE_BACK : 0n, ALL, { check });
    }
    for (let pair = 0; pair < VARIABLE_MTRRS; pair++) {
      const [base, mask] = pair === 0 ? [0x8000_0000n, 0xff_8000_0800n] : [0n, 0n];
      const typed = (value: bigint): boolean => isMemoryType(value & 0xffn);
      this.#define(Msr.MtrrPhysBase0 + 2 * pair, base, ADDRESS & ~0xf00n, { check: typed });
      this.#define(Msr.MtrrPhysBase0 + 2 * pair + 1, mask, ADDRESS & ~0x7ffn);
    }
    this.#define(Msr.Pat, 0x0007_0406_0007_0406n, ALL, { check: isPat });
  }

  #defineAmd(): void {
    for (const index of [Msr.SysCfg, Msr.HwCr]) this.#define(index, 0n, 0xffff_ffffn);
    this.#define(Msr.MmioConfigurationBase, 0n, ALL);
    for (const index of [Msr.SmmBase, Msr.SmmAddr, Msr.SmmMask]) this.#define(index, 0n, ALL); // HWCR.SMMLOCK is clear
    for (const index of [Msr.TopMem, Msr.TopMem2]) this.#define(index, 0n, ADDRESS & ~0x7f_ffffn);
  }

  /** APM 2, 15.30 and 15.4: EFER.SVME can be set only while VM_CR.SVMDIS is clear, which LOCK freezes. */
  #defineSvm({ svm = true, svmDisabled = false }: MsrOptions): void {
    const efer = Efer.Sce | Efer.Lme | Efer.Lma | Efer.Nxe | (svm ? Efer.Svme : 0n);
    const mayHaveSvme = (value: bigint): boolean =>
      (value & Efer.Svme) === 0n || (this.read(Msr.VmCr) & VmCr.SvmDis) === 0n;
    this.#define(Msr.Efer, Efer.Sce | Efer.Lme | Efer.Lma | Efer.Nxe, efer, { check: mayHaveSvme });
    if (!svm) return;
    const unlocked = (value: bigint): boolean => {
      const old = this.read(Msr.VmCr);
      return (old & VmCr.Lock) === 0n || value === old;
    };
    this.#define(Msr.VmCr, svmDisabled ? VmCr.Lock | VmCr.SvmDis : 0n, 0x1fn, { check: unlocked });
    this.#define(Msr.VmHsavePa, 0n, ADDRESS & ~0xfffn);
  }
}

/** Eight memory types, or 7: uncacheable unless an MTRR says write-combining (APM 2, 7.8.1). */
export function isPat(value: bigint): boolean {
  return bytesOf(value).every((type) => type === 7n || isMemoryType(type));
}

function bytesOf(value: bigint): bigint[] {
  return Array.from({ length: 8 }, (_, i) => (value >> BigInt(8 * i)) & 0xffn);
}

/** APM 2, 7.7.1: uncacheable, write-combining, write-through, write-protect, write-back. */
function isMemoryType(type: bigint): boolean {
  return type === 0n || type === 1n || (type >= 4n && type <= 6n);
}
