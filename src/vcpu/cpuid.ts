import { ApicMode } from "../interrupt/apic";
import { cpuid } from "../metal";
import { Registers, Vcpu } from "./vcpu";

const enum Leaf {
  Features = 0x1,
  PowerManagement = 0x6,
  StructuredExtended = 0x7,
  ProcessorTrace = 0x14,
  HypervisorVendor = 0x4000_0000,
  HypervisorVersion = 0x4000_0001,
  ExtendedFeatures = 0x8000_0001,
  SvmFeatures = 0x8000_000a,
}

const HYPERVISOR: u64 = 1 << 31;
/** In EDX: the local APIC is enabled (AMD APM 2, 16.3.1). */
const APIC: u64 = 1 << 9;
const OSXSAVE: u64 = 1 << 27;
const VMX: u64 = 1 << 5;
const OSPKE: u64 = 1 << 4;
const SVM: u64 = 1 << 2;
/** Intel's: what has the processor write to memory by itself (vmx/msrs.ts). In ECX and EDX of leaf 1, EAX of 6, EBX of 7. */
const DTES64_AND_DS_CPL: u64 = (1 << 2) | (1 << 4);
const DS: u32 = 1 << 21;
const HARDWARE_FEEDBACK: u64 = (1 << 19) | (1 << 23);
const PROCESSOR_TRACE: u64 = 1 << 25;
const SKINIT: u64 = 1 << 12;

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
  /** The feature bit that tells of a hypervisor; 0 if Sheer is to go unseen. */
  private hypervisor: u64 = HYPERVISOR;

  setStealth(on: bool): void {
    this.hypervisor = on ? 0 : HYPERVISOR;
  }

  /**
   * Answers for the leaf in EAX and subleaf in ECX. Three feature bits mirror the guest's CR4 and local APIC, which are looked
   * at for these alone: to read CR4 may be slow.
   */
  @inline execute<T extends Vcpu>(registers: Registers, vcpu: T): void {
    const leaf = registers.rax as u32;
    const subleaf = registers.rcx as u32;
    cpuid(leaf, subleaf, changetype<usize>(registers));
    if (leaf == Leaf.Features) {
      const features = (registers.rcx & ~(HYPERVISOR | OSXSAVE | VMX | DTES64_AND_DS_CPL)) | this.hypervisor;
      registers.rcx = vcpu.cr4OnProcessor() & CR4_OSXSAVE ? features | OSXSAVE : features;
      const edx = changetype<usize>(registers) + offsetof<Registers>("rdx");
      store<u32>(edx, load<u32>(edx) & ~DS); // as 32 bits it stays apart from what follows, and is one instruction
      if (vcpu.apic.mode == ApicMode.Disabled) registers.rdx &= ~APIC;
    } else if (leaf == Leaf.StructuredExtended) {
      if (subleaf != 0) return;
      registers.rbx &= ~PROCESSOR_TRACE;
      registers.rcx = vcpu.cr4OnProcessor() & CR4_PKE ? registers.rcx | OSPKE : registers.rcx & ~OSPKE;
    } else if (leaf >> 28 == 4) {
      this.hypervisorLeaf(registers, leaf);
    } else if (leaf == Leaf.ExtendedFeatures) {
      registers.rcx &= ~(SVM | SKINIT);
    } else if (leaf == Leaf.PowerManagement) {
      registers.rax &= ~HARDWARE_FEEDBACK;
    } else if (leaf == Leaf.SvmFeatures || leaf == Leaf.ProcessorTrace) {
      answer(registers, 0, 0, 0, 0);
    }
  }

  private hypervisorLeaf(registers: Registers, leaf: u32): void {
    if (!this.hypervisor) answer(registers, 0, 0, 0, 0);
    else if (leaf == Leaf.HypervisorVendor) {
      answer(registers, Leaf.HypervisorVersion, SIGNATURE_EBX, SIGNATURE_ECX, SIGNATURE_EDX);
    } else if (leaf == Leaf.HypervisorVersion) answer(registers, VERSION, 0, 0, 0);
    else answer(registers, 0, 0, 0, 0);
  }
}

function answer(registers: Registers, rax: u64, rbx: u64, rcx: u64, rdx: u64): void {
  registers.rax = rax;
  registers.rbx = rbx;
  registers.rcx = rcx;
  registers.rdx = rdx;
}

export const guestCpuid = new GuestCpuid();
