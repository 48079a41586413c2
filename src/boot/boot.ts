import { settings } from "../config/settings";
import { APIC_PAGE, APIC_PAGE_SIZE } from "../interrupt/apic";
import { fenceDevices, watchDevices } from "../iommu/fence";
import { ApicPage } from "../interrupt/apic-page";
import { traps } from "../control/trap";
import { log } from "../log/log";
import { coreHash, cpuid } from "../metal";
import { guestSpace } from "../memory/space";
import { sealMemory } from "../memory/frames";
import { guestCpuid, SIGNATURE_EBX, VERSION } from "../vcpu/cpuid";
import { SvmSupport, svmSupport } from "../vcpu/svm/enable";
import { processors } from "../vcpu/processors";
import { NestedEntries } from "../vcpu/svm/nested-entries";
import { prepareSvm, startSvm, svmMachine } from "../vcpu/svm/start";
import { startLogWriter } from "../log/writer";
import { scheduler } from "../threads/scheduler";
import { reserveLogPort } from "../log/port";
import { attachDevices } from "./devices";
import { firmware, Status } from "./firmware";
import { useScreen } from "./graphics";
import { BootInfo } from "./info";
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
  const support = svmSupport();
  if (support != SvmSupport.Ready) return refuse(reason(support), Status.UNSUPPORTED);
  if (tooManyProcessors()) return refuse(TOO_MANY_PROCESSORS, Status.UNSUPPORTED);

  guestSpace.begin(new NestedEntries(), info.context.cr4 & CR4_LA57 ? 5 : 4); // the host's (AMD APM 2, 15.25.3)
  mapReportedMemory();
  useScreen();
  guestCpuid.setStealth(settings.stealth);
  svmMachine.begin();
  const vcpu = prepareSvm(0);
  guestSpace.hook(APIC_PAGE, APIC_PAGE_SIZE, new ApicPage());
  if (settings.logPort) reserveLogPort(settings.logPort);
  attachDevices();
  fenceDevices();
  log
    .info("block ")
    .hex(info.blockBase)
    .text(" to ")
    .hex(info.blockBase + info.blockSize - 1)
    .end();
  traps.begin();
  startProcessors(vcpu);
  sealMemory();
  log.info("the guest goes on").end();
  scheduler.begin(processors, settings.oneProcessor);
  if (settings.logPort) startLogWriter();
  watchDevices();
  startSvm(vcpu, info.context, settings.thenNext ? Status.ABORTED : Status.SUCCESS);
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

function reason(support: SvmSupport): string {
  switch (support) {
    case SvmSupport.DisabledByFirmware:
      return "Sheer needs AMD-V, which the firmware has disabled: turn SVM on in the firmware's setup. The machine goes on without Sheer.";
    case SvmSupport.NoNestedPaging:
      return "Sheer needs a processor with nested paging, which this one lacks. The machine goes on without Sheer.";
    default:
      return "Sheer needs a processor with AMD-V, which this one lacks. The machine goes on without Sheer.";
  }
}

function isRunning(): bool {
  const registers = memory.data(32, 8);
  cpuid(1, 0, registers);
  if (!(load<u32>(registers, 8) >> 31)) return false;
  cpuid(0x4000_0000, 0, registers);
  return load<u32>(registers, 24) == SIGNATURE_EBX;
}
