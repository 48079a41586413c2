import { cpuid } from "../../metal";
import { sharedMsrs } from "../msrs";
import { EFER_SVME, SvmVcpu } from "./vcpu";
import { MsrPermissions } from "./permissions";
import { topOfMemory } from "./top-of-memory";

/** MSRs whose guest view is not the processor's. */
const enum Msr {
  Efer = 0xc000_0080,
  MmioConfigurationBase = 0xc001_0058,
  SmmBase = 0xc001_0111,
  SmmAddr = 0xc001_0112,
  SmmMask = 0xc001_0113,
  VmCr = 0xc001_0114,
  VmHsavePa = 0xc001_0117,
  SvmKey = 0xc001_0118,
}

const enum Efer {
  Sce = 1 << 0,
  Lme = 1 << 8,
  Lma = 1 << 10,
  Nxe = 1 << 11,
  Lmsle = 1 << 13,
  Ffxsr = 1 << 14,
  Tce = 1 << 15,
  AutomaticIbrs = 1 << 21,
}
const CR0_PG: u64 = 1 << 31;

/** VM_CR as the guest sees it: SVM disabled and locked, as firmware leaves it on a machine without SVM (AMD APM 2, 15.30.1). */
const VM_CR_DISABLED: u64 = (1 << 4) | (1 << 3);

/** The MSRs that cause exits: SVM's own, which the guest does not have, and those with consequences for Sheer. */
class SvmMsrs {
  readonly permissions: MsrPermissions = new MsrPermissions();
  private eferBits: u64 = 0;

  begin(): void {
    const permissions = this.permissions;
    sharedMsrs.begin(permissions);
    topOfMemory.begin(permissions);
    permissions.interceptBoth(Msr.Efer);
    permissions.interceptWrite(Msr.MmioConfigurationBase);
    for (let index: u32 = Msr.SmmBase; index <= (Msr.SmmMask as u32); index++) permissions.interceptWrite(index);
    permissions.interceptBoth(Msr.VmCr);
    permissions.interceptBoth(Msr.VmHsavePa);
    permissions.interceptBoth(Msr.SvmKey);
    this.eferBits = supportedEferBits();
  }

  /** False if the guest gets #GP. */
  read(vcpu: SvmVcpu, index: u32): bool {
    let value: u64 = 0;
    switch (index) {
      case Msr.Efer:
        value = vcpu.vmcb.efer & ~EFER_SVME;
        break;
      case Msr.VmCr:
        value = VM_CR_DISABLED;
        break;
      case Msr.VmHsavePa:
      case Msr.SvmKey:
        break;
      default:
        return sharedMsrs.read(vcpu, index);
    }
    sharedMsrs.answer(vcpu, value);
    return true;
  }

  /** False if the guest gets #GP. */
  write(vcpu: SvmVcpu, index: u32, value: u64): bool {
    switch (index) {
      case Msr.Efer:
        return this.writeEfer(vcpu, value);
      case Msr.VmCr: // locked: writes are ignored
      case Msr.MmioConfigurationBase: // ECAM stays where Sheer, and the guest's own firmware tables, know it
        return true;
      case Msr.SmmBase: // as where firmware has locked them, which is not always done: SMM's code runs outside Sheer
      case Msr.SmmAddr:
      case Msr.SmmMask:
      case Msr.VmHsavePa:
      case Msr.SvmKey:
        return false;
      default:
        if (!sharedMsrs.write(vcpu, index, value)) return false;
        if (topOfMemory.has(index)) topOfMemory.set(index, value);
        return true;
    }
  }

  private writeEfer(vcpu: SvmVcpu, value: u64): bool {
    const vmcb = vcpu.vmcb;
    const old = vmcb.efer;
    if (value & ~this.eferBits) return false;
    // Long mode cannot be switched while paging is on (AMD APM 2, 14.6); LMA is the processor's own.
    if ((vmcb.cr0 & CR0_PG) != 0 && ((old ^ value) & Efer.Lme) != 0) return false;
    vmcb.efer = (value & ~(Efer.Lma as u64)) | (old & Efer.Lma) | EFER_SVME;
    vcpu.forgetTranslations(); // NXE changes what page-table entries mean
    return true;
  }
}

/** The EFER bits that this processor has (AMD APM 2, 3.1.7), but SVME. */
function supportedEferBits(): u64 {
  const registers = memory.data(32, 8);
  let bits: u64 = Efer.Lma;
  cpuid(0x8000_0001, 0, registers);
  const ecx = load<u32>(registers, 8);
  const edx = load<u32>(registers, 16);
  if (edx & (1 << 11)) bits |= Efer.Sce;
  if (edx & (1 << 20)) bits |= Efer.Nxe;
  if (edx & (1 << 25)) bits |= Efer.Ffxsr;
  if (edx & (1 << 29)) bits |= Efer.Lme;
  if (ecx & (1 << 17)) bits |= Efer.Tce;
  cpuid(0x8000_0008, 0, registers);
  if (!(load<u32>(registers, 24) & (1 << 20))) bits |= Efer.Lmsle;
  cpuid(0x8000_0000, 0, registers);
  if (load<u32>(registers) < 0x8000_0021) return bits;
  cpuid(0x8000_0021, 0, registers);
  if (load<u32>(registers) & (1 << 8)) bits |= Efer.AutomaticIbrs;
  return bits;
}

export const svmMsrs = new SvmMsrs();
