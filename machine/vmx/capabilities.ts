// What a processor's VMX operation can do: SDM 3, appendix A. Values as on Intel's processors of 2013 (Haswell), and
// CR4.PKE.
import { GeneralProtection, type OtherMsrs } from "../msrs.ts";
import { EntryControl, Field, Secondary } from "./vmcs.ts";

export const VmxMsr = {
  FeatureControl: 0x3a,
  Basic: 0x480,
  PinBased: 0x481,
  ProcessorBased: 0x482,
  ExitControls: 0x483,
  EntryControls: 0x484,
  Misc: 0x485,
  Cr0Fixed0: 0x486,
  Cr0Fixed1: 0x487,
  Cr4Fixed0: 0x488,
  Cr4Fixed1: 0x489,
  VmcsEnum: 0x48a,
  Secondary: 0x48b,
  EptVpid: 0x48c,
  TruePinBased: 0x48d,
  TrueProcessorBased: 0x48e,
  TrueExitControls: 0x48f,
  TrueEntryControls: 0x490,
} as const;

/** IA32_FEATURE_CONTROL (table 24-1 of SDM 3, 24.7). */
export const FeatureControl = { Locked: 1n, OutsideSmx: 4n } as const;

export interface VmxOptions {
  readonly ept?: boolean;
  readonly vpid?: boolean;
  readonly unrestrictedGuest?: boolean;
  /** RDTSCP, INVPCID and XSAVES can be enabled for a guest. */
  readonly rdtscp?: boolean;
  readonly invpcid?: boolean;
  readonly xsaves?: boolean;
  /** IA32_PAT and IA32_EFER can be switched by entries and exits. */
  readonly switchesMsrs?: boolean;
  /** The capability MSRs 48Dh to 490h are there: controls that were always 1 may be 0 (A.2). */
  readonly trueControls?: boolean;
  /** Fields of the VMCS that are missing though a control wants them, as under another hypervisor. */
  readonly missingFields?: readonly number[];
  /** What the firmware left in IA32_FEATURE_CONTROL. */
  readonly featureControl?: bigint;
}

export const REVISION = 0x12;
/** Secondary controls of Haswell. */
const SECONDARY = 0x7cff;
const HIGHEST = VmxMsr.TrueEntryControls;

/** Controls of one kind: those that must be 1, and those that may be. */
export interface Allowed {
  readonly required: number;
  readonly possible: number;
}

export class VmxCapabilities implements OtherMsrs {
  readonly options: Required<VmxOptions>;
  #featureControl: bigint;

  constructor(options: VmxOptions = {}) {
    this.options = {
      ept: true,
      vpid: true,
      unrestrictedGuest: true,
      rdtscp: true,
      invpcid: true,
      xsaves: false,
      switchesMsrs: true,
      trueControls: true,
      missingFields: [],
      featureControl: 0n,
      ...options,
    };
    this.#featureControl = this.options.featureControl;
  }

  /** VMXON works: allowed for good. */
  get enabled(): boolean {
    const needed = FeatureControl.Locked | FeatureControl.OutsideSmx;
    return (this.#featureControl & needed) === needed;
  }

  /** VMCS fields beyond those that every processor has. */
  get fields(): number[] {
    return this.options.xsaves ? [Field.XssExitingBitmap] : [];
  }

  /** What the True register of a kind says, or the plain one where there is none. */
  allowed(field: number): Allowed {
    const { trueControls } = this.options;
    const register: Record<number, number> = {
      [Field.PinBased]: trueControls ? VmxMsr.TruePinBased : VmxMsr.PinBased,
      [Field.ProcessorBased]: trueControls ? VmxMsr.TrueProcessorBased : VmxMsr.ProcessorBased,
      [Field.ExitControls]: trueControls ? VmxMsr.TrueExitControls : VmxMsr.ExitControls,
      [Field.EntryControls]: trueControls ? VmxMsr.TrueEntryControls : VmxMsr.EntryControls,
      [Field.Secondary]: VmxMsr.Secondary,
    };
    const value = this.read(register[field]!);
    return { required: Number(value & 0xffff_ffffn), possible: Number(value >> 32n) };
  }

  has(index: number): boolean {
    return index === VmxMsr.FeatureControl || (index >= VmxMsr.Basic && index <= HIGHEST);
  }

  read(index: number): bigint {
    if (index >= VmxMsr.TruePinBased && index <= HIGHEST && !this.options.trueControls) throw new GeneralProtection();
    switch (index) {
      case VmxMsr.FeatureControl:
        return this.#featureControl;
      case VmxMsr.Basic:
        return (this.options.trueControls ? 0x00da_0400_0000_0000n : 0x005a_0400_0000_0000n) | BigInt(REVISION);
      case VmxMsr.PinBased:
      case VmxMsr.TruePinBased:
        return 0x0000_007f_0000_0016n;
      case VmxMsr.ProcessorBased:
        return 0xfff9_fffe_0401_e172n;
      case VmxMsr.TrueProcessorBased:
        return 0xfff9_fffe_0400_6172n;
      case VmxMsr.ExitControls:
        return (this.#switching(0x007f_ffff, 0x3c_0000) << 32n) | 0x0003_6dffn;
      case VmxMsr.TrueExitControls:
        return (this.#switching(0x007f_ffff, 0x3c_0000) << 32n) | 0x0003_6dfbn;
      case VmxMsr.EntryControls:
        return (this.#switching(0xffff, EntryControl.LoadPat | EntryControl.LoadEfer) << 32n) | 0x11ffn;
      case VmxMsr.TrueEntryControls:
        return (this.#switching(0xffff, EntryControl.LoadPat | EntryControl.LoadEfer) << 32n) | 0x11fbn;
      case VmxMsr.Misc:
        return 0x3004_81e5n;
      case VmxMsr.Cr0Fixed0:
        return 0x8000_0021n;
      case VmxMsr.Cr0Fixed1:
        return 0xffff_ffffn;
      case VmxMsr.Cr4Fixed0:
        return 0x2000n;
      case VmxMsr.Cr4Fixed1:
        return 0x57_27ffn;
      case VmxMsr.VmcsEnum:
        return 0x2en;
      case VmxMsr.Secondary:
        return BigInt(this.#secondary()) << 32n;
      case VmxMsr.EptVpid:
        return this.options.ept ? 0xf01_0633_4141n : 0n;
      default:
        throw new GeneralProtection(`RDMSR ${index.toString(16)}`);
    }
  }

  /** Only IA32_FEATURE_CONTROL can be written, until it is locked. */
  write(index: number, value: bigint): void {
    const writable = index === VmxMsr.FeatureControl && !(this.#featureControl & FeatureControl.Locked);
    if (!writable) throw new GeneralProtection(`WRMSR ${index.toString(16)}`);
    this.#featureControl = value;
  }

  #switching(all: number, bits: number): bigint {
    return BigInt(this.options.switchesMsrs ? all : all & ~bits);
  }

  #secondary(): number {
    const { ept, vpid, unrestrictedGuest, rdtscp, invpcid, xsaves } = this.options;
    const missing =
      (ept ? 0 : Secondary.Ept | Secondary.Unrestricted) |
      (vpid ? 0 : Secondary.Vpid) |
      (unrestrictedGuest ? 0 : Secondary.Unrestricted) |
      (rdtscp ? 0 : Secondary.Rdtscp) |
      (invpcid ? 0 : Secondary.Invpcid);
    return (SECONDARY & ~missing) | (xsaves ? Secondary.Xsaves : 0);
  }
}
