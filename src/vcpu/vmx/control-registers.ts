import { cpuid, rdmsr, trySetXcr0, vmwrite } from "../../metal";
import { Vcpu } from "../vcpu";
import { Capability } from "./capabilities";
import { Field } from "./vmcs";

const CR0_PE: u64 = 1 << 0;
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

  /** The guest's MOV to CR0 that changes a fixed bit, CLTS or LMSW; false if it gets #GP. */
  writeCr0(vcpu: Vcpu, value: u64): bool {
    if (value >> 32) return false;
    const old = vcpu.cr0();
    if ((old ^ value) & (CR0_PE | CR0_PG)) return false; // together with a fixed bit: no system does
    this.setCr0(value);
    return true;
  }

  /** The guest's MOV to CR4 that changes a bit of the mask; false if it gets #GP. */
  writeCr4(value: u64): bool {
    if (value & (CR4_VMXE | CR4_SMXE)) return false;
    this.setCr4(value);
    return true;
  }

  /** XSETBV of XCR0 (Intel SDM 2, XSETBV); false if the guest gets #GP. */
  writeXcr0(index: u32, value: u64): bool {
    if (index || value & ~this.xcr0Supported) return false;
    return trySetXcr0(value);
  }
}

export const controlRegisters = new ControlRegisters();

/** Carries out a control-register exit; `qualification` says which (Intel SDM 3, table 28-3). False if the guest gets #GP. */
export function controlRegisterAccess(vcpu: Vcpu, qualification: u64): bool {
  const register = (qualification as u32) & 15;
  const type = ((qualification as u32) >> 4) & 3;
  const value = vcpu.registers.get(((qualification as u32) >> 8) & 15);
  if (type == Access.Clts) return controlRegisters.writeCr0(vcpu, vcpu.cr0() & ~CR0_TS);
  if (type == Access.Lmsw) {
    const source = (qualification >> 16) & 0xffff;
    return controlRegisters.writeCr0(vcpu, (vcpu.cr0() & ~0xe) | (source & 0xf));
  }
  if (type != Access.MoveTo) return false;
  if (register == 0) return controlRegisters.writeCr0(vcpu, value);
  if (register == 4) return controlRegisters.writeCr4(value);
  if (register != 8 || value > 15) return false;
  vcpu.apic.writeTaskPriorityClass(value as u32);
  return true;
}

const CR0_TS: u64 = 1 << 3;
const enum Access {
  MoveTo = 0,
  MoveFrom = 1,
  Clts = 2,
  Lmsw = 3,
}
