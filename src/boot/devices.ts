import { settings } from "../config/settings";
import { reportNetwork } from "../drivers/net/attach";
import { BroadcomDriver } from "../drivers/net/broadcom/driver";
import { IntelDriver } from "../drivers/net/intel/driver";
import { watch } from "../pci/bridge";
import { ConcealDriver } from "../pci/conceal";
import { DeviceMatching } from "../pci/matching";
import { useMcfg } from "../pci/mcfg";
import { FunctionScan } from "../pci/scan";
import { firmware } from "./firmware";

const MCFG: u32 = 0x4746434d; // "MCFG"

/** Takes the devices that Sheer mediates or hides. Everything else stays the guest's. */
export function attachDevices(): void {
  const mcfg = firmware.acpiTable(MCFG);
  if (mcfg) useMcfg(mcfg);
  const matching = new DeviceMatching(settings.devices);
  matching.add(new IntelDriver());
  matching.add(new BroadcomDriver());
  matching.add(new ConcealDriver());
  matching.check();
  const scan = new FunctionScan();
  while (scan.advance()) {
    const driver = matching.choose(scan.identity);
    if (driver === null || !driver.attach(scan.identity)) watch(scan.identity);
  }
  reportNetwork();
}
