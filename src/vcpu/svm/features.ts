import { cpuid } from "../../metal";
import { ALL_CLEAN } from "./vmcb";

/** CPUID Fn8000_000A EDX (AMD APM 3, E.4.9). */
const enum Feature {
  NextRipSave = 1 << 3,
  VmcbClean = 1 << 5,
  FlushByAsid = 1 << 6,
  DecodeAssists = 1 << 7,
}

/** TLB_CONTROL (AMD APM 2, 15.16). */
const enum TlbControl {
  FlushAll = 1,
  FlushGuest = 3,
}

/** What newer processors do for the hypervisor, as this one has it. */
class SvmFeatures {
  /** After an instruction's intercept the VMCB has the next RIP (AMD APM 2, 15.7.1). */
  nextRipSave: bool = false;
  /** It has the instruction's bytes and the general register of a MOV to a control register too (15.7.2, 15.8.4). */
  decodeAssists: bool = false;
  /** What TLB_CONTROL is to be for the guest's translations to be forgotten: the host's may stay, if they can. */
  flush: u8 = TlbControl.FlushAll as u8;
  /** Every bit that VMCB Clean may have on this processor (15.15.2). */
  cleanBits: u32 = 0;

  begin(): void {
    const registers = memory.data(32, 8);
    cpuid(0x8000_000a, 0, registers);
    const features = load<u32>(registers, 16);
    this.nextRipSave = (features & Feature.NextRipSave) != 0;
    this.decodeAssists = (features & Feature.DecodeAssists) != 0;
    this.flush = (features & Feature.FlushByAsid ? TlbControl.FlushGuest : TlbControl.FlushAll) as u8;
    this.cleanBits = features & Feature.VmcbClean ? ALL_CLEAN : 0;
  }
}

export const svmFeatures = new SvmFeatures();
