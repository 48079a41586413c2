import { settings } from "../config/settings";
import { APIC_PAGE, APIC_PAGE_SIZE } from "../interrupt/apic";
import { startHousekeeping } from "../drivers/net/attach";
import { fenceDevices, watchDevices } from "../iommu/fence";
import { ApicPage } from "../interrupt/apic-page";
import { traps } from "../control/trap";
import { log } from "../log/log";
import { coreHash, cpuid } from "../metal";
import { guestSpace } from "../memory/space";
import { sealMemory } from "../memory/frames";
import { guestCpuid, SIGNATURE_EBX, VERSION } from "../vcpu/cpuid";
import { processors } from "../vcpu/processors";
import { virtualization } from "../vcpu/vendor";
import { startLogWriter } from "../log/writer";
import { scheduler } from "../threads/scheduler";
import { reserveLogPort } from "../log/port";
import { attachDevices } from "./devices";
import { firmware, Status } from "./firmware";
import { useScreen } from "./graphics";
import { BootInfo } from "./info";
import { guardSleepStates } from "../power/guard";
import { mapReportedMemory } from "./memory-map";
import { readSettings } from "./options";
import { startProcessors, tooManyProcessors } from "./processors";

const CR4_LA57: u64 = 1 << 12;
const TOO_MANY_PROCESSORS =
  "Sheer has room for 64 processors, which this machine exceeds, and leaves none outside. The machine goes on without Sheer.";

/** From the firmware's call to the guest's first instruction. Returns an EFI_STATUS only if Sheer does not start. */
export function bootSheer(info: BootInfo): u64 {
  readSettings();
  announce();
  if (isRunning()) {
    return refuse("Sheer is already running on this machine: nothing has changed.", Status.ALREADY_STARTED);
  }
  const vendor = virtualization();
  const obstacle = vendor.obstacle();
  if (obstacle.length) return refuse(obstacle, Status.UNSUPPORTED);
  if (tooManyProcessors()) return refuse(TOO_MANY_PROCESSORS, Status.UNSUPPORTED);

  guestSpace.begin(vendor.entryFormat(), vendor.nestedLevels(info.context.cr4 & CR4_LA57 ? 5 : 4));
  mapReportedMemory();
  useScreen();
  guestCpuid.setStealth(settings.stealth);
  vendor.begin();
  const vcpu = vendor.prepare(0);
  guestSpace.hook(APIC_PAGE, APIC_PAGE_SIZE, new ApicPage());
  if (settings.logPort) reserveLogPort(settings.logPort);
  attachDevices();
  guardSleepStates(); // its ports come after those that are used more often
  fenceDevices();
  log
    .info("block ")
    .hex(info.blockBase)
    .text(" to ")
    .hex(info.blockBase + info.blockSize - 1)
    .end();
  traps.begin();
  startProcessors(vendor, vcpu);
  sealMemory();
  log.info("the guest goes on").end();
  scheduler.begin(processors, settings.oneProcessor);
  if (settings.logPort) startLogWriter();
  watchDevices();
  startHousekeeping();
  vendor.start(vcpu, info.context, settings.thenNext ? Status.ABORTED : Status.SUCCESS);
  return Status.SUCCESS;
}

function announce(): void {
  log.setLevel(settings.logLevel);
  if (settings.logPort) log.useUart(settings.logPort);
  const hash = heap.alloc(64);
  coreHash(hash);
  log
    .info("Sheer ")
    .dec(VERSION >> 16)
    .text(".")
    .dec((VERSION >> 8) & 0xff)
    .text(".")
    .dec(VERSION & 0xff)
    .text(", core.wasm sha256 ")
    .ascii(hash, 64)
    .end();
}

/** The machine goes on without Sheer, and the user is told why. */
function refuse(sentence: string, status: u64): u64 {
  log.error(sentence).end();
  firmware.print(sentence);
  return status;
}

function isRunning(): bool {
  const registers = memory.data(32, 8);
  cpuid(1, 0, registers);
  if (!(load<u32>(registers, 8) >> 31)) return false;
  cpuid(0x4000_0000, 0, registers);
  return load<u32>(registers, 24) == SIGNATURE_EBX;
}
