import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Finding } from "./finding.ts";
import { supportedCards } from "./cards.ts";
import { processorFindings } from "./processor.ts";

const secureBootVariable = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

/** Could this Linux machine run Sheer? `top` is its root directory. */
export function examineTarget(top = "/"): Finding[] {
  const card = networkCards(top).find((id) => supportedCards.has(id));
  return [
    ...processorFindings(readFileSync(join(top, "proc/cpuinfo"), "utf8")),
    {
      what: "started by UEFI",
      good: existsSync(join(top, "sys/firmware/efi")),
      advice: "set the firmware to boot by UEFI, not by its legacy BIOS mode",
    },
    {
      what: "Secure Boot is off",
      good: !secureBoot(top),
      advice: "switch it off in the firmware; sheer.efi is not signed",
    },
    {
      what: `a network card that Sheer knows${card === undefined ? "" : ` (${card})`}`,
      good: card !== undefined,
      advice: "Sheer would start, and leave the network card it finds to the guest",
    },
  ];
}

/** Vendor and device of all Ethernet controllers, as in "8086:10d3". */
function networkCards(top: string): string[] {
  const devices = join(top, "sys/bus/pci/devices");
  if (!existsSync(devices)) return [];
  const read = (slot: string, name: string): string =>
    readFileSync(join(devices, slot, name), "utf8")
      .trim()
      .slice(2);
  return readdirSync(devices)
    .filter((slot) => read(slot, "class").startsWith("0200"))
    .map((slot) => `${read(slot, "vendor")}:${read(slot, "device")}`);
}

/** An EFI variable as Linux shows it: four bytes of attributes, then its value. */
function secureBoot(top: string): boolean {
  const variable = join(top, secureBootVariable);
  return existsSync(variable) && readFileSync(variable)[4] === 1;
}
