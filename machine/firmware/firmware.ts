// A UEFI firmware: its tables lie in simulated memory exactly as the UEFI Specification 2.10 says; its functions are
// addresses that `call` dispatches to TypeScript.
import type { Clock } from "../clock.ts";
import type { PhysicalMemory } from "../memory.ts";
import type { PciFunction } from "../pci/function.ts";
import { type AcpiTable, buildAcpi } from "./acpi.ts";
import { BootServices } from "./boot-services.ts";
import { buildContext, CONTEXT_PAGES, type FirmwareContext } from "./context.ts";
import { type Files, FileSystem } from "./files.ts";
import { buildGraphicsOutput, type Display } from "./graphics.ts";
import { type Dispatch, type MpProcessor, MpServices } from "./mp-services.ts";
import { MemoryMap, PAGE } from "./memory-map.ts";
import { buildPciIo } from "./pci-io.ts";
import { Handles } from "./protocols.ts";
import { readUcs2, TableBuilder, ucs2 } from "./tables.ts";
import { EfiStatus, Guid, guidBytes, MemoryType, RUNTIME_SERVICES, TEXT_OUTPUT } from "./uefi.ts";

export interface FirmwareOptions {
  readonly files?: Files;
  /** The path that the running program was loaded from. */
  readonly programPath?: string;
  readonly loadOptions?: string;
  /** ACPI has an MCFG table. */
  readonly mcfg?: boolean;
  /** ACPI has these tables as well. */
  readonly acpiTables?: readonly AcpiTable[];
  /** The DSDT's AML, instead of that of a common PC. */
  readonly aml?: readonly number[];
  /** What has a handle with EFI_GRAPHICS_OUTPUT_PROTOCOL, in the order of the handles. */
  readonly displays?: readonly Display[];
  /** It has no EFI_MP_SERVICES_PROTOCOL. */
  readonly noMpServices?: boolean;
}

/** The machine's processors, and how the firmware has one run something. */
export interface FirmwareProcessors {
  readonly all: readonly MpProcessor[];
  readonly dispatch: Dispatch;
}

/** One call that was made, by the service's name. */
export interface FirmwareCall {
  readonly name: string;
  readonly args: readonly bigint[];
  readonly status: bigint;
}

/** Pages at the top of low memory that the firmware uses itself. */
const CODE_PAGES = 4;
const DATA_PAGES = 250;
const IMAGE_PAGES = 128;
/** In the code pages, where the other processors wait, each in a place of its own. */
const LOOPS = 2 * PAGE;
const LOOP_BYTES = 64;
const SYSTEM_SIGNATURE = 0x5453_5953_2049_4249n;
const RUNTIME_SIGNATURE = 0x5652_4553_544e_5552n;

export class Firmware {
  /** Everything written to the console. */
  screen = "";
  /** Every call that was made, in order. */
  readonly calls: FirmwareCall[] = [];
  readonly map = new MemoryMap();
  readonly context: FirmwareContext;
  readonly systemTable: number;
  readonly imageHandle: number;
  /** Where a program returns to. */
  readonly returnAddress: number;
  readonly bootServices: BootServices;
  readonly fileSystem: FileSystem;
  /** Resets the program asked for. */
  readonly resets: bigint[] = [];
  readonly #builder: TableBuilder;
  readonly #handles: Handles;
  readonly memory: PhysicalMemory;
  readonly #loops: number;
  readonly #controllers = new Map<number, PciFunction>();

  constructor(memory: PhysicalMemory, clock: Clock, options: FirmwareOptions, processors: FirmwareProcessors) {
    this.memory = memory;
    const { code, data, context, image } = this.#partition(memory.size);
    this.returnAddress = code + CODE_PAGES * PAGE - 0x100;
    this.#loops = code + LOOPS;
    this.#builder = new TableBuilder(memory, data, code);
    this.context = buildContext(memory, context);
    this.#handles = new Handles(this.#builder);
    this.bootServices = new BootServices(this.#builder, this.map, this.#handles, clock);
    this.fileSystem = new FileSystem(this.#builder, options.files ?? {});
    this.systemTable = this.#buildSystemTable(options, processors.all);
    this.imageHandle = this.#buildLoadedImage(options, image);
    for (const display of options.displays ?? []) {
      this.#handles.create({ [Guid.GraphicsOutput]: buildGraphicsOutput(this.#builder, display) });
    }
    if (options.noMpServices) return;
    const { protocol } = new MpServices(this.#builder, clock, processors.all, processors.dispatch);
    this.#handles.create({ [Guid.MpServices]: protocol });
  }

  /** Where a procedure that processor `number` was sent to returns to. */
  loopOf(number: number): number {
    return this.#loops + number * LOOP_BYTES;
  }

  /** Gives a PCI function a handle with EFI_PCI_IO_PROTOCOL; returns the handle. */
  addController(pci: PciFunction): number {
    const handle = this.#handles.create({ [Guid.PciIo]: buildPciIo(this.#builder, pci) });
    this.#controllers.set(handle, pci);
    return handle;
  }

  controller(handle: number): PciFunction | undefined {
    return this.#controllers.get(handle);
  }

  /** Calls the function at `target`; a call that passes too few arguments or goes astray is a mistake of the caller. */
  call(target: number, args: readonly bigint[]): bigint {
    const fn = this.#builder.functions.get(target);
    if (!fn) throw new Error(`firmware call to 0x${target.toString(16)}, where no function is`);
    if (args.length < fn.arity) throw new Error(`${fn.name} takes ${fn.arity} arguments, got ${args.length}`);
    const status = fn.body(args);
    this.calls.push({ name: fn.name, args, status });
    return status;
  }

  /** How often a service was called. */
  count(name: string): number {
    return this.calls.filter((call) => call.name === name).length;
  }

  /** The address of a boot service, to call it as a program would. */
  bootService(name: string): number {
    const found = [...this.#builder.functions].find(([, fn]) => fn.name === name);
    if (!found) throw new Error(`no firmware function ${name}`);
    return found[0];
  }

  #partition(size: number): { code: number; data: number; context: number; image: number } {
    this.map.set(0, 0xa_0000, MemoryType.Conventional);
    this.map.set(0xc_0000, 0x4_0000, MemoryType.Reserved);
    this.map.set(0x10_0000, size - 0x10_0000, MemoryType.Conventional);
    const take = (pages: number, type: number): number => this.map.allocate(0, type, pages, 0)!;
    return {
      code: take(CODE_PAGES, MemoryType.BootServicesCode),
      data: take(DATA_PAGES, MemoryType.AcpiNvs),
      context: take(CONTEXT_PAGES, MemoryType.BootServicesData),
      image: take(IMAGE_PAGES, MemoryType.LoaderCode),
    };
  }

  /** EFI_SYSTEM_TABLE, 4.3. */
  #buildSystemTable(
    { mcfg = true, acpiTables = [], aml }: FirmwareOptions,
    processors: readonly MpProcessor[],
  ): number {
    const builder = this.#builder;
    const console = this.#buildConsole();
    const consoleHandle = this.#handles.create({ [Guid.SimpleTextOutput]: console });
    const acpi = buildAcpi(builder, mcfg, processors, acpiTables, aml);
    const configuration = builder.reserve(24);
    this.memory.writeBytes(configuration, guidBytes(Guid.Acpi20Table));
    this.memory.write64(configuration + 16, BigInt(acpi));
    const vendor = builder.text("Simulated");
    const table = builder.words([
      ...[0, 0, 0, vendor, 1],
      ...[consoleHandle, 0, consoleHandle, console, consoleHandle, console],
      ...[this.#buildRuntimeServices(), this.bootServices.table, 1, configuration],
    ]);
    builder.header(table, SYSTEM_SIGNATURE, 120);
    return table;
  }

  #buildConsole(): number {
    const functions = TEXT_OUTPUT.map((name) =>
      this.#builder.define({
        name: `ConOut.${name}`,
        arity: name === "OutputString" ? 2 : 1,
        body: (args) => {
          if (name === "OutputString") this.screen += readUcs2(this.memory, Number(args[1]));
          return EfiStatus.Success;
        },
      }),
    );
    return this.#builder.words([...functions, this.#builder.reserve(24)]);
  }

  #buildRuntimeServices(): number {
    const functions = RUNTIME_SERVICES.map((name) =>
      this.#builder.define({
        name,
        arity: name === "ResetSystem" ? 4 : 0,
        body: (args) => {
          if (name === "ResetSystem") this.resets.push(args[0]!);
          return name === "GetVariable" ? EfiStatus.NotFound : EfiStatus.Unsupported;
        },
      }),
    );
    const table = this.#builder.words([0, 0, 0, ...functions]);
    this.#builder.header(table, RUNTIME_SIGNATURE, 24 + 8 * functions.length);
    return table;
  }

  /** EFI_LOADED_IMAGE_PROTOCOL, 9.1. */
  #buildLoadedImage({ loadOptions, programPath = "\\EFI\\sheer.efi" }: FirmwareOptions, image: number): number {
    const builder = this.#builder;
    const device = this.#handles.create({ [Guid.SimpleFileSystem]: this.fileSystem.protocol });
    const path = ucs2(programPath);
    const node = [4, 4, (4 + path.length) & 0xff, (4 + path.length) >> 8];
    const devicePath = builder.bytes([...node, ...path, 0x7f, 0xff, 4, 0]);
    const options = loadOptions === undefined ? new Uint8Array(0) : ucs2(loadOptions);
    const table = builder.words([
      ...[0x1000, 0, this.systemTable, device, devicePath, 0],
      ...[options.length, options.length ? builder.bytes(options) : 0],
      ...[image, IMAGE_PAGES * PAGE, MemoryType.LoaderCode + MemoryType.LoaderData * 2 ** 32, 0],
    ]);
    return this.#handles.create({ [Guid.LoadedImage]: table });
  }
}
