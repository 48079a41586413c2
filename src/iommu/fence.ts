import { firmware } from "../boot/firmware";
import { hideAcpiTable } from "../boot/acpi";
import { DmaFence, settings } from "../config/settings";
import { log } from "../log/log";
import { guestMemory } from "../memory/guest";
import { guestSpace } from "../memory/space";
import { wbinvd } from "../metal";
import { scheduler } from "../threads/scheduler";
import { AmdIommus } from "./amd/iommus";
import { HiddenRegisters } from "./hidden";
import { IntelIommus } from "./intel/iommus";
import { addRequesters } from "./requesters";
import { Iommus } from "./unit";
import { FaultWatch } from "./watch";

const DMAR: u32 = 0x52414d44; // "DMAR"
const IVRS: u32 = 0x53525649; // "IVRS"

/** Devices reach nothing from here on: it is more memory than boards have, and makes small tables. */
const REACH: u64 = 1 << 42;

let watch: FaultWatch | null = null;

/**
 * Fences Sheer's block off from all devices by the machine's IOMMUs, if it has any that nobody uses, and hides them from
 * the guest. To be called when the devices that Sheer drives are known.
 */
export function fenceDevices(): void {
  if (settings.dma == DmaFence.Off) return;
  const dmar = firmware.acpiTable(DMAR);
  const table = dmar ? dmar : firmware.acpiTable(IVRS);
  if (!table) {
    log.info("no IOMMU: devices can reach Sheer's block").end();
    return;
  }
  const iommus: Iommus = dmar ? new IntelIommus(dmar) : new AmdIommus(table);
  if (!canBeUsed(iommus)) {
    log.warn("devices can reach Sheer's block").end();
    return;
  }
  wbinvd(); // some IOMMUs do not look into the caches
  for (let i = 0; i < iommus.count(); i++)
    if (!iommus.unit(i).enable()) warn(i, "does not answer: its devices can reach Sheer's block");
  hide(iommus, table);
  watch = new FaultWatch(iommus);
  log.info("devices are fenced off from Sheer's block; IOMMUs: ").dec(iommus.count()).end();
}

/** Begins to log what devices were refused. */
export function watchDevices(): void {
  const thread = watch;
  if (thread !== null) scheduler.start(thread);
}

/** Whether nothing stands against any of them; their tables are built then. */
function canBeUsed(iommus: Iommus): bool {
  for (let i = 0; i < iommus.count(); i++) {
    const obstacle = iommus.unit(i).obstacle();
    if (!obstacle.length) continue;
    warn(i, obstacle);
    return false;
  }
  addRequesters();
  return iommus.count() > 0 && iommus.build(min(guestMemory.end, REACH));
}

function hide(iommus: Iommus, table: u64): void {
  hideAcpiTable(table);
  iommus.hide();
  for (let i = 0; i < iommus.count(); i++) {
    const unit = iommus.unit(i);
    if (!guestSpace.hook(unit.registers, unit.size, new HiddenRegisters())) warn(i, "cannot be hidden");
  }
}

function warn(index: i32, what: string): void {
  log.warn("the IOMMU ").dec(index).text(" ").text(what).end();
}
