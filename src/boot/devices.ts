import { NetMode, settings } from "../config/settings";
import { attachNetwork } from "../drivers/net/attach";
import { useMcfg } from "../pci/mcfg";
import { firmware } from "./firmware";

const MCFG: u32 = 0x4746434d; // "MCFG"

/** Takes the devices that Sheer mediates. Everything else stays the guest's. */
export function attachDevices(): void {
  const mcfg = firmware.acpiTable(MCFG);
  if (mcfg) useMcfg(mcfg);
  if (settings.net == NetMode.Virtio) attachNetwork();
}
