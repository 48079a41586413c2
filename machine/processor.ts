// One processor of the simulated machine: what it has for itself, whoever runs on it.
import { type ApicBus, LocalApic } from "./apic.ts";
import type { Clock } from "./clock.ts";
import { Cpuid, type CpuidOptions } from "./cpuid.ts";
import { ADDRESS, Msrs } from "./msrs.ts";
import type { Guest } from "./guest/guest.ts";
import type { PhysicalMemory } from "./memory.ts";
import { UnswitchedRegisters } from "./unswitched.ts";
import { VmxCapabilities, type VmxOptions } from "./vmx/capabilities.ts";
import { VmxOperation } from "./vmx/operation.ts";
import { ApicMsrs } from "./x2apic.ts";

const INTEL = "GenuineIntel";
/** The state that XSAVES keeps beside XCR0's (SDM 1, 13.1). */
const PROCESSOR_TRACE = 1n << 8n;

/** What differs from the boot processor. */
export interface ProcessorOptions {
  /** Of its local APIC; the processor's number if left out. */
  readonly apicId?: number;
  /** The firmware has turned it off. */
  readonly disabled?: boolean;
  /** It has failed the firmware's test of it, which turns it off. */
  readonly faulty?: boolean;
  /** How it answers when the firmware sends it somewhere: at once, after the firmware has given up, or not at all. */
  readonly answers?: "late" | "never";
  /** The firmware has disabled AMD-V on it. */
  readonly svmDisabled?: boolean;
}

export interface ProcessorParts {
  readonly clock: Clock;
  readonly tsc: () => bigint;
  readonly bus: ApicBus;
  readonly cpu: CpuidOptions;
  readonly lenientMsrs: boolean;
  readonly memory: PhysicalMemory;
  readonly vmx: VmxOptions;
}

export class Processor {
  /** As the firmware counts. */
  readonly number: number;
  readonly options: ProcessorOptions;
  readonly apic: LocalApic;
  readonly msrs: Msrs;
  readonly cpuid: Cpuid;
  /** As the core counts, once it runs here. */
  index = 0;
  /** It is in the core. */
  busy = false;
  /** YMM0 to YMM15, 32 bytes each. */
  readonly vectors = new Uint8Array(16 * 32);
  /** How often DR0 to DR3 were set to zero. */
  breakpointsCleared = 0;
  /** Spin-loop hints since the core was entered here. */
  pauses = 0;
  readonly unswitched = new UnswitchedRegisters();
  runningGuest: Guest | undefined;
  /** On a processor with VT-x. */
  readonly vmx: VmxOperation | undefined;

  constructor(number: number, options: ProcessorOptions, parts: ProcessorParts) {
    const { clock, tsc, bus, cpu, lenientMsrs, memory } = parts;
    const apicId = options.apicId ?? number;
    const capabilities = cpu.vmx ? new VmxCapabilities(parts.vmx) : undefined;
    this.number = number;
    this.options = options;
    this.apic = new LocalApic(clock, apicId, bus);
    this.cpuid = new Cpuid({ ...cpu, apicId });
    this.msrs = new Msrs(tsc, {
      amd: cpu.vendor !== INTEL,
      svm: cpu.svm ?? true,
      svmDisabled: options.svmDisabled ?? false,
      xss: parts.vmx.xsaves ? PROCESSOR_TRACE : undefined,
      lenient: lenientMsrs,
      others: [
        new ApicMsrs(this.apic, {
          x2apic: this.cpuid.options.x2apic,
          bootProcessor: number === 0,
          reservedAddress: ~ADDRESS,
        }),
        ...(capabilities ? [capabilities] : []),
      ],
    });
    if (capabilities) this.vmx = new VmxOperation(memory, capabilities);
  }

  /** The guest, once the core has started it here. */
  get guest(): Guest {
    if (!this.runningGuest) throw new Error(`no guest runs on processor ${this.number}`);
    return this.runningGuest;
  }

  /** An NMI waits that would reach the core now. */
  get canTakeNmi(): boolean {
    return this.apic.nmi && !this.busy && (this.runningGuest?.processor.canTakeNmi ?? false);
  }
}
