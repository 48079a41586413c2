import { physOf } from "../metal";
import { firmware, guid } from "./firmware";

const MP_SERVICES_PROTOCOL = guid(0x3fdda605, 0xa76e, 0x4f46, 0xad29_12f4_531b_3d08);

/** Members of EFI_MP_SERVICES_PROTOCOL (PI 1.8, volume 2, 13.4). */
export const enum MpServices {
  GetNumberOfProcessors = 0,
  GetProcessorInfo = 8,
  StartupAllAps = 16,
  StartupThisAp = 24,
  EnableDisableAp = 40,
}

/** The protocol's interface, or 0: firmware without it knows of one processor only. */
export function mpServices(): u64 {
  return firmware.anyProtocol(MP_SERVICES_PROTOCOL);
}

/** How many processors there are, disabled ones included; 16 bytes at `result` are written. */
export function numberOfProcessors(services: u64, result: usize): u32 {
  const at = physOf(result);
  firmware.call(services, MpServices.GetNumberOfProcessors, services, at, at + 8);
  return load<u32>(result);
}
