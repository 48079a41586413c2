import { cpuid } from "../metal";
import { Vcpu } from "./vcpu";

/** What the four registers of one CPUID leaf are read into; the layout the machine interface writes. */
@unmanaged
class CpuidResult {
  eax: u32;
  ebx: u32;
  ecx: u32;
  edx: u32;

  set(eax: u32, ebx: u32, ecx: u32, edx: u32): void {
    this.eax = eax;
    this.ebx = ebx;
    this.ecx = ecx;
    this.edx = edx;
  }
}

const enum Leaf {
  Features = 0x1,
  StructuredExtended = 0x7,
  HypervisorVendor = 0x4000_0000,
  HypervisorVersion = 0x4000_0001,
  ExtendedFeatures = 0x8000_0001,
  SvmFeatures = 0x8000_000a,
}

const HYPERVISOR: u32 = 1 << 31;
const OSXSAVE: u32 = 1 << 27;
const VMX: u32 = 1 << 5;
const OSPKE: u32 = 1 << 4;
const SVM: u32 = 1 << 2;
const SKINIT: u32 = 1 << 12;

const CR4_OSXSAVE: u64 = 1 << 18;
const CR4_PKE: u64 = 1 << 22;

/** "SheerSheerSh", in the order EBX, ECX, EDX. */
export const SIGNATURE_EBX: u32 = 0x65656853;
const SIGNATURE_ECX: u32 = 0x65685372;
const SIGNATURE_EDX: u32 = 0x68537265;

/** Major, minor and patch of Sheer's version in 23:16, 15:8 and 7:0; package.json has the same. */
export const VERSION: u32 = 0x00_01_00;

/** The guest's CPUID: the processor's own, without virtualization, and with Sheer's leaves unless it is to go unseen. */
export class GuestCpuid {
  private stealth: bool = false;

  setStealth(on: bool): void {
    this.stealth = on;
  }

  /** Answers for the leaf in EAX and subleaf in ECX; `cr4` is the guest's, which two feature bits mirror. */
  execute(vcpu: Vcpu, cr4: u64): void {
    const registers = vcpu.registers;
    const leaf = registers.rax as u32;
    const subleaf = registers.rcx as u32;
    const result = changetype<CpuidResult>(vcpu.scratch());
    cpuid(leaf, subleaf, changetype<usize>(result));
    if (leaf == Leaf.Features) {
      result.ecx &= ~(HYPERVISOR | OSXSAVE | VMX);
      if (!this.stealth) result.ecx |= HYPERVISOR;
      if (cr4 & CR4_OSXSAVE) result.ecx |= OSXSAVE;
    } else if (leaf == Leaf.StructuredExtended) {
      if (subleaf == 0) result.ecx = cr4 & CR4_PKE ? result.ecx | OSPKE : result.ecx & ~OSPKE;
    } else if (leaf >> 28 == 4) {
      this.hypervisorLeaf(result, leaf);
    } else if (leaf == Leaf.ExtendedFeatures) {
      result.ecx &= ~(SVM | SKINIT);
    } else if (leaf == Leaf.SvmFeatures) {
      result.set(0, 0, 0, 0);
    }
    registers.rax = result.eax as u64;
    registers.rbx = result.ebx as u64;
    registers.rcx = result.ecx as u64;
    registers.rdx = result.edx as u64;
  }

  private hypervisorLeaf(result: CpuidResult, leaf: u32): void {
    if (this.stealth) result.set(0, 0, 0, 0);
    else if (leaf == Leaf.HypervisorVendor) {
      result.set(Leaf.HypervisorVersion, SIGNATURE_EBX, SIGNATURE_ECX, SIGNATURE_EDX);
    } else if (leaf == Leaf.HypervisorVersion) result.set(VERSION, 0, 0, 0);
    else result.set(0, 0, 0, 0);
  }
}

export const guestCpuid = new GuestCpuid();
