import { rdmsr } from "../../metal";

/** Capability MSRs (Intel SDM 3, appendix A). */
export const enum Capability {
  Basic = 0x480,
  PinBased = 0x481,
  Primary = 0x482,
  Exit = 0x483,
  Entry = 0x484,
  Misc = 0x485,
  Cr0Fixed0 = 0x486,
  Cr0Fixed1 = 0x487,
  Cr4Fixed0 = 0x488,
  Cr4Fixed1 = 0x489,
  Secondary = 0x48b,
  EptVpid = 0x48c,
  TruePinBased = 0x48d,
  TruePrimary = 0x48e,
  TrueExit = 0x48f,
  TrueEntry = 0x490,
  LastVmxMsr = 0x491,
}
/** Of the basic register: the True registers are there. */
const TRUE_CONTROLS: u64 = 1 << 55;

/** EPT and VPID capabilities (appendix A.10). */
export namespace EptCapability {
  export const WRITE_BACK: u64 = 1 << 14;
  export const PAGES_2M: u64 = 1 << 16;
  export const PAGES_1G: u64 = 1 << 17;
  export const INVEPT: u64 = 1 << 20;
  export const ACCESSED_DIRTY: u64 = 1 << 21;
  export const WALK_4: u64 = 1 << 6;
  export const INVVPID: u64 = 1 << 32;
}

/** The revision identifier that the first word of a VMXON region and a VMCS has. */
export function revision(): u32 {
  return (rdmsr(Capability.Basic) as u32) & 0x7fff_ffff;
}

/** The capability register of a kind of controls, or its True form where the processor has it. */
function controlRegister(register: Capability): u32 {
  if (register == Capability.Secondary || !(rdmsr(Capability.Basic) & TRUE_CONTROLS)) return register;
  return register - Capability.PinBased + Capability.TruePinBased;
}

/** Which of some controls the processor has: those that may be 1, in the upper half of the register (appendix A.2). */
export function supported(register: Capability, wanted: u32): u32 {
  return wanted & ((rdmsr(controlRegister(register)) >> 32) as u32);
}

/** Controls as the processor takes them: the wanted ones that it has, and those that must be 1. */
export function controls(register: Capability, wanted: u32): u32 {
  const value = rdmsr(controlRegister(register));
  return (wanted | (value as u32)) & ((value >> 32) as u32);
}
