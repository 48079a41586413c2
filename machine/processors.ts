// The processors of the simulated machine. One runs at a time: the others come to their turn where really they would
// go on by themselves, at the end of a guest's instruction and while the running one spins.
import { Delivery, type LocalApic, messageDestination, type SentIpi } from "./apic.ts";
import type { Width } from "./bits.ts";
import type { CoreExports } from "./core.ts";
import type { MmioDevice } from "./memory.ts";
import { Processor, type ProcessorOptions, type ProcessorParts } from "./processor.ts";

/** Spin-loop hints between entry and end of an exit after which the processor counts as stuck. */
const PATIENCE = 2_000_000;
/** Spin-loop hints until an NMI must have arrived, whatever a test chooses. */
const LATEST = 100;

/** Chooses which of several processors takes its NMI next; undefined: none does for now. */
export type Choice = (ready: readonly Processor[]) => Processor | undefined;

export class Processors implements MmioDevice {
  readonly all: readonly Processor[];
  /** The one whose code runs now. */
  current: Processor;
  choose: Choice = ([first]) => first;

  constructor(options: readonly ProcessorOptions[], parts: Omit<ProcessorParts, "bus">) {
    const cpu = { ...parts.cpu, processors: options.length };
    const bus = this.#route.bind(this);
    this.all = options.map((each, number) => new Processor(number, each, { ...parts, cpu, bus }));
    this.current = this.boot;
  }

  get boot(): Processor {
    return this.all[0]!;
  }

  /** The core's exports as this processor calls them. */
  coreOn(processor: Processor, core: CoreExports): CoreExports {
    return {
      memory: core.memory,
      boot: (info) => this.run(processor, () => core.boot(info)),
      processor: (index) => this.run(processor, () => core.processor(index)),
      exit: (run) => this.run(processor, () => core.exit(run)),
      wake: (run) => this.run(processor, () => core.wake(run)),
      vmxExit: (run) => this.run(processor, () => core.vmxExit(run)),
      vmxWake: (run) => this.run(processor, () => core.vmxWake(run)),
      trap: (kind, address) => this.run(processor, () => core.trap(kind, address)),
    };
  }

  /** Runs the core's code on a processor. */
  run<T>(processor: Processor, code: () => T): T {
    if (processor.busy) throw new Error(`processor ${processor.number} entered the core twice`);
    const before = this.current;
    this.current = processor;
    processor.busy = true;
    processor.pauses = 0;
    try {
      return code();
    } finally {
      processor.busy = false;
      this.current = before;
    }
  }

  /** The running processor spins: one of the others goes on, at the latest when it has spun for a while. */
  pause(): void {
    const { current } = this;
    if (++current.pauses > PATIENCE) throw new Error(`processor ${current.number} spins without end`);
    const next = current.pauses % LATEST ? this.#next() : this.all.find((processor) => processor.canTakeNmi);
    next?.guest.processor.takeNmi();
  }

  /** All that can go on without the running one do so. */
  letOthersRun(): void {
    for (let next = this.#next(); next; next = this.#next()) next.guest.processor.takeNmi();
  }

  /** A message as a device or the I/O APIC writes it (APM 2, 16.11). */
  message(address: number, data: number): void {
    const { destination, logical } = messageDestination(address);
    const targets = this.all.map(({ apic }) => apic).filter((apic) => apic.isFor(destination, logical));
    for (const apic of chosen(targets, (data >>> 8) & 7)) apic.message(address, data);
  }

  /** Every processor finds its own local APIC at the same address. */
  readMmio(offset: number): number {
    return this.current.apic.readMmio(offset);
  }
  writeMmio(offset: number, width: Width, value: number): void {
    this.current.apic.writeMmio(offset, width, value);
  }

  #next(): Processor | undefined {
    const ready = this.all.filter((processor) => processor.canTakeNmi);
    return ready.length ? this.choose(ready) : undefined;
  }

  /** A processor that runs a hypervisor would lose it by a real INIT: none may ever be sent. */
  #route(sender: LocalApic, ipi: SentIpi, logical: boolean): void {
    const { delivery, vector } = ipi;
    const targets = this.all.map(({ apic }) => apic).filter((apic) => apic.isForIpi(sender, ipi, logical));
    if (targets.length && (delivery === Delivery.Init || delivery === Delivery.Startup)) {
      const ids = targets.map(({ id }) => id).join(", ");
      throw new Error(`${delivery === Delivery.Init ? "INIT" : "SIPI"} from local APIC ${sender.id} reached ${ids}`);
    }
    for (const apic of chosen(targets, delivery)) apic.accept(vector, delivery);
  }
}

/** Of all that an interrupt is for, those that get it: by lowest priority, one whose own is lowest (APM 2, 16.6.2). */
function chosen(targets: readonly LocalApic[], delivery: number): readonly LocalApic[] {
  if (delivery !== Delivery.Lowest) return targets;
  const lowest = Math.min(...targets.map(({ priority }) => priority));
  return targets.filter(({ priority }) => priority === lowest).slice(0, 1);
}
