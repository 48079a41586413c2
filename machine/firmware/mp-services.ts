// EFI_MP_SERVICES_PROTOCOL: UEFI Platform Initialization Specification 1.8, volume 2, 13.4.
import type { Clock } from "../clock.ts";
import type { ProcessorOptions } from "../processor.ts";
import type { TableBuilder } from "./tables.ts";
import { EfiStatus, MP_SERVICES } from "./uefi.ts";

/** How long after the firmware has given up a processor that answers late does so. */
const LATE = 50_000;
/** StatusFlag of EFI_PROCESSOR_INFORMATION (13.4.2). */
const Flag = { BootProcessor: 1, Enabled: 2, Healthy: 4 } as const;
const LOCATION_WORDS = 9;

type Body = (args: readonly bigint[]) => bigint;

/** Has a processor run a procedure; true if that has come to its end. */
export type Dispatch = (number: number, procedure: number, argument: number) => boolean;

export interface MpProcessor {
  readonly apicId: number;
  readonly options: ProcessorOptions;
}

export class MpServices {
  /** Address of the protocol. */
  readonly protocol: number;
  readonly #builder: TableBuilder;
  readonly #clock: Clock;
  readonly #processors: readonly MpProcessor[];
  readonly #dispatch: Dispatch;
  /** Those that have not come back. */
  readonly #away = new Set<number>();
  readonly #disabled = new Set<number>();

  constructor(builder: TableBuilder, clock: Clock, processors: readonly MpProcessor[], dispatch: Dispatch) {
    this.#builder = builder;
    this.#clock = clock;
    this.#processors = processors;
    this.#dispatch = dispatch;
    processors.forEach(({ options }, number) => options.disabled && this.#disabled.add(number));
    const bodies: Partial<Record<(typeof MP_SERVICES)[number], [number, Body]>> = {
      GetNumberOfProcessors: [3, ([, all, enabled]) => this.#getNumber(Number(all), Number(enabled))],
      GetProcessorInfo: [3, ([, number, info]) => this.#getInfo(Number(number), Number(info))],
      StartupThisAP: [7, (args) => this.#startup(args)],
      EnableDisableAP: [4, ([, number, enable]) => this.#enable(Number(number), enable !== 0n)],
      WhoAmI: [2, ([, result]) => this.#whoAmI(Number(result))],
    };
    const functions = MP_SERVICES.map((name) => {
      const [arity, body] = bodies[name] ?? [0, () => EfiStatus.Unsupported];
      return builder.define({ name, arity, body });
    });
    this.protocol = builder.words(functions);
  }

  #getNumber(all: number, enabled: number): bigint {
    if (!all || !enabled) return EfiStatus.InvalidParameter;
    const { memory } = this.#builder;
    memory.write64(all, BigInt(this.#processors.length));
    memory.write64(enabled, BigInt(this.#processors.length - this.#disabled.size));
    return EfiStatus.Success;
  }

  /** EFI_PROCESSOR_INFORMATION: its id, its flags, where it is (twice: 13.4.2 and the extension behind it). */
  #getInfo(number: number, info: number): bigint {
    if (!info) return EfiStatus.InvalidParameter;
    const processor = this.#processors[number];
    if (!processor) return EfiStatus.NotFound;
    const { memory } = this.#builder;
    const place = number ? 0 : Flag.BootProcessor;
    memory.write64(info, BigInt(processor.apicId));
    const enabled = this.#disabled.has(number) ? 0 : Flag.Enabled;
    memory.write32(info + 8, place | enabled | (processor.options.faulty ? 0 : Flag.Healthy));
    for (let word = 0; word < LOCATION_WORDS; word++) memory.write32(info + 12 + 4 * word, 0);
    memory.write32(info + 16, number);
    return EfiStatus.Success;
  }

  /** StartupThisAP in its blocking form, which is all that is modelled: returns when the procedure has, or its time is up. */
  #startup([, procedure, wanted, event, timeout, argument, finished]: readonly bigint[]): bigint {
    const number = Number(wanted);
    const processor = this.#processors[number];
    if (!processor) return EfiStatus.NotFound;
    if (number === 0 || this.#disabled.has(number) || !procedure) return EfiStatus.InvalidParameter;
    if (event) return EfiStatus.Unsupported;
    if (this.#away.has(number)) return EfiStatus.NotReady;
    const run = (): boolean => this.#dispatch(number, Number(procedure), Number(argument));
    const { answers } = processor.options;
    const done = !answers && run();
    if (finished) this.#builder.memory.write8(Number(finished), done ? 1 : 0);
    if (done) return EfiStatus.Success;
    if (!timeout) throw new Error(`the boot processor waits for processor ${number} without end`);
    this.#away.add(number);
    this.#clock.advance(Number(timeout) * 1000);
    if (answers === "late") this.#clock.after(LATE, run);
    return EfiStatus.Timeout;
  }

  /** Whether a processor may be given work; its health is left as it is (13.4.7). */
  #enable(number: number, enable: boolean): bigint {
    if (!this.#processors[number]) return EfiStatus.NotFound;
    if (number === 0) return EfiStatus.InvalidParameter;
    if (enable) this.#disabled.delete(number);
    else this.#disabled.add(number);
    return EfiStatus.Success;
  }

  /** Only the boot processor calls the firmware here. */
  #whoAmI(result: number): bigint {
    if (!result) return EfiStatus.InvalidParameter;
    this.#builder.memory.write64(result, 0n);
    return EfiStatus.Success;
  }
}
