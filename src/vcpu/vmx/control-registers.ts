import { cpuid, rdmsr, trySetXcr0, vmwrite } from "../../metal";
import { Capability } from "./capabilities";
import { Field } from "./vmcs";

const CR0_PE: u64 = 1 << 0;
const CR0_NW: u64 = 1 << 29;
const CR0_CD: u64 = 1 << 30;
const CR0_PG: u64 = 1 << 31;
export const CR4_VMXE: u64 = 1 << 13;
const CR4_SMXE: u64 = 1 << 14;

/**
 * The bits of CR0 and CR4 that VMX operation fixes (Intel SDM 3, 24.8): the guest sees what it wrote, the processor has them
 * as it must. With an unrestricted guest PE and PG are free. VMXE and SMXE the guest does not have.
 */
class ControlRegisters {
  private cr0Fixed: u64 = 0;
  private cr4Fixed: u64 = 0;
  private xcr0Supported: u64 = 0;

  begin(): void {
    this.cr0Fixed = rdmsr(Capability.Cr0Fixed0) & ~(CR0_PE | CR0_PG);
    this.cr4Fixed = rdmsr(Capability.Cr4Fixed0);
    const registers = memory.data(32, 8);
    cpuid(0xd, 0, registers);
    this.xcr0Supported = (load<u32>(registers) as u64) | ((load<u32>(registers, 16) as u64) << 32);
  }

  get cr0Mask(): u64 {
    return this.cr0Fixed;
  }
  get cr4Mask(): u64 {
    return this.cr4Fixed | CR4_VMXE | CR4_SMXE;
  }

  /** Sets what the guest has in CR0, whose value is valid for its mode. */
  setCr0(value: u64): void {
    vmwrite(Field.Cr0ReadShadow, value);
    vmwrite(Field.GuestCr0, value | this.cr0Fixed);
  }

  /** The same for CR4. */
  setCr4(value: u64): void {
    vmwrite(Field.Cr4ReadShadow, value);
    vmwrite(Field.GuestCr4, value | this.cr4Fixed);
  }

  /**
   * A MOV of the guest's to CR0 changes a watched bit, which then reads as the guest wants it. The instruction is run again:
   * now the processor itself carries it out, with all else that it says. False if the guest gets #GP, and nothing changes.
   */
  showCr0(value: u64): bool {
    const pagesOutsideProtection = (value & (CR0_PG | CR0_PE)) == CR0_PG;
    if (value >> 32 || pagesOutsideProtection || (value & (CR0_NW | CR0_CD)) == CR0_NW) return false;
    vmwrite(Field.Cr0ReadShadow, value);
    return true;
  }

  /** The same for CR4; false if the guest gets #GP, since it sets what it does not have. */
  showCr4(value: u64): bool {
    if (value & (CR4_VMXE | CR4_SMXE)) return false;
    vmwrite(Field.Cr4ReadShadow, value);
    return true;
  }

  /** XSETBV of XCR0 (Intel SDM 2, XSETBV); false if the guest gets #GP. */
  writeXcr0(index: u32, value: u64): bool {
    if (index || value & ~this.xcr0Supported) return false;
    return trySetXcr0(value);
  }
}

export const controlRegisters = new ControlRegisters();
