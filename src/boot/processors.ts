import { log } from "../log/log";
import { takePages } from "../memory/frames";
import { atomicCompareExchange32, physOf, processorEntry, processorStack } from "../metal";
import { MAXIMUM_PROCESSORS } from "../vcpu/limits";
import { ProcessorStart, processors } from "../vcpu/processors";
import { Vcpu } from "../vcpu/vcpu";
import { virtualization } from "../vcpu/vendor";
import { Virtualization } from "../vcpu/virtualization";
import { firmware, Status } from "./firmware";
import { MpServices, mpServices, numberOfProcessors } from "./mp-services";

/** StatusFlag of EFI_PROCESSOR_INFORMATION, behind the processor's id. */
const STATUS_FLAG: usize = 8;
const BOOT_PROCESSOR: u32 = 1 << 0;
const ENABLED: u32 = 1 << 1;
const HEALTHY: u32 = 1 << 2;
/** Bytes set aside for a ProcessorStart. */
const START_BYTES: usize = 256;
const START_PAGES: u32 = 4; // for MAXIMUM_PROCESSORS
/** What GetNumberOfProcessors and GetProcessorInfo write. */
const ANSWER_BYTES: usize = 80;
/** How long the firmware waits for a processor, in microseconds. */
const PATIENCE: u64 = 1_000_000;

/** Values of ProcessorStart's `arrival`. */
const enum Arrival {
  Expected = 0,
  Arrived = 1,
  TooLate = 2,
}

/** What starting processors are handed: a ProcessorStart each, which one that comes too late may still find. */
class Handover {
  private readonly starts: usize;

  constructor() {
    this.starts = takePages(START_PAGES);
  }

  @inline at(index: u32): ProcessorStart {
    return changetype<ProcessorStart>(this.starts + (index as usize) * START_BYTES);
  }
}

const handover = new Handover();

const answer = heap.alloc(ANSWER_BYTES);

/**
 * Whether the firmware knows of more processors than Sheer has room for. One that is left out would run the firmware's
 * code, and then what the operating system puts in its place, outside Sheer; and held for good, it would keep firmware
 * that has each processor answer at ExitBootServices waiting.
 */
export function tooManyProcessors(): bool {
  const services = mpServices();
  return services != 0 && numberOfProcessors(services, answer) > MAXIMUM_PROCESSORS;
}

/**
 * Has the firmware send every other processor here, one after the other: each becomes a guest in the middle of what it
 * does for the firmware, and goes back to that. So whatever way the firmware has of keeping and waking its processors goes
 * on to work. Called on the boot processor, before the guest runs there.
 */
export function startProcessors(vendor: Virtualization, bootProcessor: Vcpu): void {
  const services = mpServices();
  if (!services) return;
  const count = numberOfProcessors(services, answer);
  let index: u32 = 1;
  for (let number: u32 = 0; number < count; number++) {
    firmware.call(services, MpServices.GetProcessorInfo, services, number, physOf(answer));
    const flags = load<u32>(answer, STATUS_FLAG);
    if (flags & BOOT_PROCESSOR) continue;
    if (flags & ENABLED) startOne(services, number, index++);
    else if (flags & HEALTHY) startDisabled(services, number, index++);
    else log.warn("processor ").dec(number).text(" is faulty, the firmware says, and stays off").end();
  }
  if (processors.count > 1) vendor.interceptNmis(bootProcessor);
  log.info("").dec(processors.count).text(" of ").dec(count).text(" processors run the guest").end();
}

/** One that the firmware does not use now: its guest may. Afterwards it is disabled as it was. */
function startDisabled(services: u64, number: u32, index: u32): void {
  firmware.call(services, MpServices.EnableDisableAp, services, number, 1);
  startOne(services, number, index);
  firmware.call(services, MpServices.EnableDisableAp, services, number, 0);
}

function startOne(services: u64, number: u32, index: u32): void {
  const start = handover.at(index);
  start.index = index;
  start.stack = processorStack(index);
  firmware.call(
    services,
    MpServices.StartupThisAp,
    services,
    processorEntry(),
    number,
    0,
    PATIENCE,
    physOf(changetype<usize>(start)),
  );
  if (!settle(start, Arrival.TooLate)) return;
  log.warn("processor ").dec(number).text(" does not answer, and stays off").end();
}

/** Whether `arrival` is what it comes to: only the first of processor and boot processor has its way. */
function settle(start: ProcessorStart, arrival: Arrival): bool {
  const at = changetype<usize>(start) + offsetof<ProcessorStart>("arrival");
  return atomicCompareExchange32(at, Arrival.Expected, arrival) == Arrival.Expected;
}

/** On the processor itself. One that comes too late, or cannot run the guest, stops here for good. */
export function startProcessor(index: u32): void {
  const start = handover.at(index);
  const vendor = virtualization();
  if (vendor.obstacle().length || !settle(start, Arrival.Arrived)) return;
  const vcpu = vendor.prepare(index);
  vendor.interceptNmis(vcpu);
  log.info("processor ").dec(index).text(" with local APIC ").dec(vcpu.apic.id).text(" runs the guest").end();
  vendor.start(vcpu, start.context, Status.SUCCESS);
}
