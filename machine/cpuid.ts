// CPUID: AMD64 Architecture Programmer's Manual volume 3, appendix E. Values as QEMU's `-cpu max,+svm,-la57` gives them.

/** EAX, EBX, ECX, EDX. */
export type CpuidResult = readonly [number, number, number, number];

export interface CpuidOptions {
  readonly svm?: boolean;
  /** Intel VT-x. */
  readonly vmx?: boolean;
  readonly npt?: boolean;
  /** The processor stores the address of the next instruction on an intercept. */
  readonly nrips?: boolean;
  readonly decodeAssists?: boolean;
  readonly flushByAsid?: boolean;
  readonly vmcbClean?: boolean;
  readonly x2apic?: boolean;
  readonly physicalBits?: number;
  readonly vendor?: string;
  /** Of this processor's local APIC. */
  readonly apicId?: number;
  /** Logical processors of the package. */
  readonly processors?: number;
  /** Leaves that answer otherwise, as under another hypervisor. */
  readonly leaves?: Readonly<Record<number, CpuidResult>>;
}

const FEATURE_SVM = 1 << 2;
const FEATURE_VMX = 1 << 5;
const FEATURE_X2APIC = 1 << 21;
const FEATURE_OSXSAVE = 1 << 27;
/** CPUID 8000_000A EDX. */
const SvmFeature = {
  NestedPaging: 1 << 0,
  NextRipSave: 1 << 3,
  VmcbClean: 1 << 5,
  FlushByAsid: 1 << 6,
  DecodeAssists: 1 << 7,
  VmcbAddressCheck: 1 << 28,
};

/** A processor with all that newer ones do for a hypervisor. */
export const NEWER: CpuidOptions = { nrips: true, decodeAssists: true, flushByAsid: true, vmcbClean: true };

/** What CPUID answers on this processor. */
export class Cpuid {
  /** CR4.OSXSAVE, which leaf 1 mirrors. */
  osxsave = false;
  readonly options: Required<CpuidOptions>;

  constructor(options: CpuidOptions = {}) {
    this.options = {
      svm: true,
      vmx: false,
      npt: true,
      nrips: false,
      decodeAssists: false,
      flushByAsid: false,
      vmcbClean: false,
      x2apic: false,
      physicalBits: 40,
      vendor: "AuthenticAMD",
      apicId: 0,
      processors: 1,
      leaves: {},
      ...options,
    };
  }

  query(leaf: number, subleaf: number): CpuidResult {
    const override = this.options.leaves[leaf >>> 0];
    if (override) return override;
    switch (leaf >>> 0) {
      case 0:
        return this.#vendor(0xd);
      case 1:
        return [0x0060_0fb1, this.#localApic(), this.#leaf1(), 0x178b_fbff];
      case 7:
        return subleaf === 0 ? [0, 0x0018_0f2b, 0x0040_0004, 0] : [0, 0, 0, 0];
      case 0xd:
        return xsaveLeaf(subleaf);
      case 0x8000_0000:
        return this.#vendor(0x8000_000a);
      case 0x8000_0001:
        return [0x0060_0fb1, 0, 0x0000_0071 | (this.options.svm ? FEATURE_SVM : 0), 0x2fd3_fbff];
      case 0x8000_0002:
      case 0x8000_0003:
      case 0x8000_0004:
        return brand(leaf - 0x8000_0002);
      case 0x8000_0008:
        return [0x3000 | this.options.physicalBits, 0, this.options.processors - 1, 0];
      case 0x8000_000a:
        return this.options.svm ? [1, 16, 0, this.#svmFeatures()] : [0, 0, 0, 0];
      default:
        return [0, 0, 0, 0];
    }
  }

  #vendor(highest: number): CpuidResult {
    const word = (at: number): number =>
      [0, 1, 2, 3].reduce((value, i) => (value | (this.options.vendor.charCodeAt(at + i) << (8 * i))) >>> 0, 0);
    return [highest, word(0), word(8), word(4)];
  }

  /** Initial local APIC id, logical processors where there are several, CLFLUSH size. */
  #localApic(): number {
    const { apicId, processors } = this.options;
    return ((apicId << 24) | ((processors > 1 ? processors : 0) << 16) | 0x0800) >>> 0;
  }

  /** SSE3, PCLMULQDQ, SSSE3, CMPXCHG16B, SSE4, MOVBE, POPCNT, AES, XSAVE, RDRAND, and what is optional. */
  #leaf1(): number {
    const { x2apic, vmx } = this.options;
    const optional = (x2apic ? FEATURE_X2APIC : 0) | (this.osxsave ? FEATURE_OSXSAVE : 0) | (vmx ? FEATURE_VMX : 0);
    return (0x46d8_220b | optional) >>> 0;
  }

  #svmFeatures(): number {
    const { npt, nrips, decodeAssists, flushByAsid, vmcbClean } = this.options;
    return (
      (npt ? SvmFeature.NestedPaging : 0) |
      (nrips ? SvmFeature.NextRipSave : 0) |
      (vmcbClean ? SvmFeature.VmcbClean : 0) |
      (flushByAsid ? SvmFeature.FlushByAsid : 0) |
      (decodeAssists ? SvmFeature.DecodeAssists : 0) |
      SvmFeature.VmcbAddressCheck
    );
  }
}

/** x87, SSE and AVX state. */
function xsaveLeaf(subleaf: number): CpuidResult {
  if (subleaf === 0) return [7, 832, 832, 0];
  return subleaf === 2 ? [256, 576, 0, 0] : [0, 0, 0, 0];
}

function brand(part: number): CpuidResult {
  const text = "Simulated AMD-V processor".padEnd(48, "\0");
  const word = (at: number): number =>
    [0, 1, 2, 3].reduce((value, i) => (value | (text.charCodeAt(part * 16 + at + i) << (8 * i))) >>> 0, 0);
  return [word(0), word(4), word(8), word(12)];
}
