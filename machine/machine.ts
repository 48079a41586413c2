// A simulated PC: gives the imports of src/metal.ts a body, so that core.wasm boots and is driven in Node.
import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { APIC_BASE, type LocalApic } from "./apic.ts";
import { Clock } from "./clock.ts";
import type { Cpuid, CpuidOptions } from "./cpuid.ts";
import { Broadcom } from "./bcm57766/card.ts";
import { E1000 } from "./e1000/card.ts";
import { PM_TIMER_PORT } from "./firmware/acpi.ts";
import { PM1_CONTROL_PORT, PowerControl } from "./power.ts";
import type { NetworkCard } from "./net/card.ts";
import { type CardOptions, makeCard } from "./net/make.ts";
import { Firmware, type FirmwareOptions } from "./firmware/firmware.ts";
import { FRAMEBUFFER, framebufferBytes } from "./firmware/graphics.ts";
import { NIC_DRIVER_PAGES, startNicDriver, stopNicDriver } from "./firmware/nic-driver.ts";
import { MemoryType } from "./firmware/uefi.ts";
import type { CoreExports } from "./core.ts";
import { Cost, metalImports } from "./imports.ts";
import type { Iommu } from "./iommu/iommu.ts";
import { IoApic, IOAPIC_BASE } from "./ioapic.ts";
import { PhysicalMemory } from "./memory.ts";
import type { Msrs } from "./msrs.ts";
import { PciBus } from "./pci/bus.ts";
import { Command, Config, PciFunction } from "./pci/function.ts";
import { PortSpace } from "./ports.ts";
import { fillBootInfo, fillStart } from "./boot-info.ts";
import type { Processor, ProcessorOptions } from "./processor.ts";
import { Processors } from "./processors.ts";
import { Guest } from "./guest/guest.ts";
import type { GuestProcessor, GuestProcessorParts } from "./guest/processor.ts";
import { suspendable } from "./suspension/asyncify.ts";
import { SUSPENDING_IMPORTS, type ThreadExports, Threads } from "./suspension/threads.ts";
import { SvmProcessor } from "./svm/processor.ts";
import { SYSTEM_CONTROL_PORT, SystemControl } from "./system-control.ts";
import { Uart } from "./uart.ts";
import type { VmxOptions } from "./vmx/capabilities.ts";
import { VmxProcessor } from "./vmx/processor.ts";

const MIB = 1 << 20;
const CORE = new URL("../dist/core.wasm", import.meta.url);
const BLOCK_SIZE = 16 * MIB;
const BLOCK_BORDER = 2 * MIB;
/** From the end of the block, in what stands for the image there. */
const ENTRY = 0x1000;
/** Ticks of the processor's clock in a nanosecond. */
const TSC_RATE = 2n;
const PM_TIMER_HZ = 3_579_545;
/** What the first page of linear memory holds, which nobody may touch. */
const POISON = 0xa5;
const NULL_PAGE = 4096;
const POISONED_PAGE = Buffer.alloc(NULL_PAGE, POISON);

export interface MachineOptions extends FirmwareOptions {
  /** Low memory in MiB. */
  readonly memory?: number;
  /** More memory from 4 GiB on, in MiB. */
  readonly highMemory?: number;
  readonly cpu?: CpuidOptions;
  /** How many processors, or what each of them is like. */
  readonly processors?: number | readonly ProcessorOptions[];
  /** Told of each import that the core calls, before it does anything: there another processor may act. */
  readonly onImport?: (name: string) => void;
  /** The firmware has disabled AMD-V. */
  readonly svmDisabled?: boolean;
  /** What VT-x can do, on processors that have it, and what the firmware left of it. */
  readonly vmx?: VmxOptions;
  /** Unknown MSRs read 0, as in QEMU, rather than raise #GP. */
  readonly lenientMsrs?: boolean;
  /** Network cards, on devices 2 and up. */
  readonly cards?: readonly CardOptions[];
  /** The firmware's own driver holds the network cards. */
  readonly firmwareNicDriver?: boolean;
  /** Stands between the PCI functions and memory. */
  readonly iommu?: (memory: PhysicalMemory) => Iommu;
  readonly core?: string | URL;
  /** A trap of the core fails the test rather than be reported to the core. */
  readonly forbidTraps?: boolean;
}

const compiled = new Map<string, { readonly module: WebAssembly.Module; readonly hash: string }>();

function suspending(path: string | URL): string {
  return suspendable(path instanceof URL ? fileURLToPath(path) : path, SUSPENDING_IMPORTS);
}

/** Compiling takes longer than booting, and reading a part of it, so each core is read and compiled once. */
function compile(path: string | URL): { readonly module: WebAssembly.Module; readonly hash: string } {
  const version = `${String(path)} ${statSync(path).mtimeMs}`;
  let known = compiled.get(version);
  if (!known) {
    const hash = createHash("sha256").update(readFileSync(path)).digest("hex");
    known = { module: new WebAssembly.Module(readFileSync(suspending(path))), hash };
    compiled.set(version, known);
  }
  return known;
}

export class Machine {
  readonly clock = new Clock();
  readonly memory: PhysicalMemory;
  readonly ports = new PortSpace();
  readonly systemControl = new SystemControl();
  readonly power = new PowerControl();
  readonly processors: Processors;
  readonly ioApic: IoApic;
  readonly bus: PciBus;
  readonly cards: readonly NetworkCard[];
  readonly firmware: Firmware;
  /** Serial ports: COM1 to COM4. */
  readonly uarts: readonly Uart[] = [0x3f8, 0x2f8, 0x3e8, 0x2e8].map((port) => this.#addUart(port));
  /** Sheer's block in physical memory, once `boot` has reserved it. */
  block = { base: 0, size: BLOCK_SIZE };
  coreHash = "";
  /** How often the core had the caches written back and emptied (WBINVD). */
  cacheWriteBacks = 0;
  readonly options: MachineOptions;
  #exports: CoreExports | undefined;
  #linear: () => DataView = () => new DataView(new ArrayBuffer(0));
  #core: CoreExports | undefined;

  constructor(options: MachineOptions = {}) {
    this.options = options;
    const size = (options.memory ?? 64) * MIB;
    this.memory = new PhysicalMemory(size);
    this.memory.punch(0xa_0000, 0x2_0000);
    if (options.highMemory) this.memory.addRam(2 ** 32, options.highMemory * MIB);
    for (const display of options.displays ?? []) {
      this.memory.addRam(display.base ?? FRAMEBUFFER, framebufferBytes(display));
    }
    this.memory.onMmio = () => this.clock.advance(Cost.Mmio);
    this.ports.onAccess = () => this.clock.advance(Cost.Port);
    this.processors = this.#addProcessors(options);
    this.ioApic = this.#addInterruptControllers();
    this.bus = new PciBus({
      memory: this.memory,
      ports: this.ports,
      ioApic: this.ioApic,
      message: (address, data) => this.processors.message(address, data),
    });
    const iommu = options.iommu?.(this.memory);
    if (iommu) this.memory.map(iommu.base, iommu.size, iommu.registers);
    this.bus.iommu = iommu;
    const acpiTables = iommu ? [iommu.acpi] : [];
    this.firmware = new Firmware(
      this.memory,
      this.clock,
      { acpiTables, ...options },
      {
        all: this.processors.all.map(({ apic, options: each }) => ({ apicId: apic.id, options: each })),
        dispatch: (number, procedure, argument) => this.#dispatch(number, procedure, argument),
      },
    );
    if (options.highMemory) this.firmware.map.set(2 ** 32, options.highMemory * MIB, MemoryType.Conventional);
    this.cards = this.#addPciFunctions(options.cards ?? [{ model: "82574L" }]);
    this.ports.add(SYSTEM_CONTROL_PORT, 1, this.systemControl);
    this.ports.add(PM1_CONTROL_PORT, 2, this.power);
    this.ports.add(PM_TIMER_PORT, 4, {
      readPort: () => Math.floor((this.clock.now * PM_TIMER_HZ) / 1e9) >>> 0,
      writePort: () => undefined,
    });
  }

  /** The first network card. */
  get nic(): NetworkCard {
    const [card] = this.cards;
    if (!card) throw new Error("this machine has no network card");
    return card;
  }
  /** The first network card, one of Broadcom's. */
  get broadcom(): Broadcom {
    if (!(this.nic instanceof Broadcom)) throw new Error("this machine's network card is not Broadcom's");
    return this.nic;
  }
  /** The first network card, one of Intel's. */
  get card(): E1000 {
    if (!(this.nic instanceof E1000)) throw new Error("this machine's network card is not Intel's");
    return this.nic;
  }

  // What the boot processor has.
  get apic(): LocalApic {
    return this.processors.boot.apic;
  }
  get msrs(): Msrs {
    return this.processors.boot.msrs;
  }
  get cpuid(): Cpuid {
    return this.processors.boot.cpuid;
  }
  /** The guest on the boot processor, once the core has started it. */
  get guest(): Guest {
    return this.processors.boot.guest;
  }
  get guestRuns(): boolean {
    return this.processors.boot.runningGuest !== undefined;
  }

  /** A processor, as the firmware counts. */
  processor(number: number): Processor {
    const found = this.processors.all[number];
    if (!found) throw new Error(`this machine has no processor ${number}`);
    return found;
  }
  /** The guest on every processor that it runs on. */
  get guests(): Guest[] {
    return this.processors.all.flatMap(({ runningGuest }) => runningGuest ?? []);
  }

  /** What was written to the console. */
  get screen(): string {
    return this.firmware.screen;
  }

  /** What was sent to the serial port at `port`. */
  log(port = 0x3e8): string {
    return this.uarts[[0x3f8, 0x2f8, 0x3e8, 0x2e8].indexOf(port)]!.text;
  }

  get core(): CoreExports {
    if (!this.#core) throw new Error("the core is not loaded");
    return this.#core;
  }

  tsc(): bigint {
    return BigInt(Math.floor(this.clock.now)) * TSC_RATE;
  }

  /** Loads the core into its block and boots it; returns its EFI_STATUS. */
  boot(): bigint {
    const { module, hash } = compile(this.options.core ?? CORE);
    this.coreHash = hash;
    this.#reserveBlock();
    let view = new DataView(new ArrayBuffer(0));
    const linear = (): DataView => view;
    const threads = new Threads(() => core as CoreExports & ThreadExports, linear);
    const imports = { ...metalImports(this, linear, () => this.block.base), ...threads.imports() };
    const core = new WebAssembly.Instance(module, { metal: imports }).exports as CoreExports;
    this.#core = this.processors.coreOn(this.processors.boot, core);
    this.#exports = core;
    this.#linear = linear;
    view = new DataView(core.memory.buffer);
    this.memory.mapLinear(this.block.base, core.memory.buffer);
    new Uint8Array(core.memory.buffer, 0, NULL_PAGE).fill(POISON);
    const info = fillBootInfo(view, this.firmware, this.msrs, this.block);
    const status = BigInt.asUintN(64, this.core.boot(info));
    this.checkNullPage();
    return status;
  }

  /** Physical address of the procedure that the core has the firmware's other processors call. */
  get processorEntry(): number {
    return this.block.base + this.block.size - ENTRY;
  }

  /** The core enters the guest by AMD-V, on the processor that runs. */
  startSvmGuest(run: number): void {
    const { nrips, decodeAssists, flushByAsid, vmcbClean } = this.processors.current.cpuid.options;
    const options = { nextRipSave: nrips, decodeAssists, flushByAsid, vmcbClean };
    this.#startGuest(run, (parts) => new SvmProcessor(parts, options));
  }

  /** The core enters the guest of the current VMCS, on the processor that runs. */
  startVmxGuest(run: number): void {
    const { vmx } = this.processors.current;
    if (!vmx) throw new Error("VMLAUNCH on a processor without VT-x");
    this.#startGuest(run, (parts) => new VmxProcessor(parts, vmx));
  }

  #startGuest(run: number, make: (parts: GuestProcessorParts) => GuestProcessor): void {
    const { current } = this.processors;
    const { number, msrs, cpuid, apic, unswitched } = current;
    const core = this.processors.coreOn(current, this.#exports!);
    const forbidTraps = this.options.forbidTraps ?? false;
    const processor = make({ core, run, memory: this.memory, apic, unswitched, forbidTraps });
    processor.onExit = () => this.checkNullPage();
    const code = number ? this.firmware.loopOf(number) : this.firmware.returnAddress;
    const onInstruction = (): void => this.processors.letOthersRun();
    const { ports, clock } = this;
    current.runningGuest = new Guest(processor, { ports, clock, msrs, cpuid, unswitched, onInstruction }, code);
  }

  /** Page 0 of linear memory is not mapped on a real machine: a write there is a fault. */
  checkNullPage(): void {
    const page = Buffer.from(this.core.memory.buffer, 0, NULL_PAGE);
    if (page.equals(POISONED_PAGE)) return;
    const at = page.findIndex((byte) => byte !== POISON);
    throw new Error(`the core wrote to linear address 0x${at.toString(16)}, which is not mapped`);
  }

  /** Delivers a nonmaskable interrupt to the boot processor. */
  nmi(): void {
    this.apic.nmi = true;
  }

  #addProcessors(options: MachineOptions): Processors {
    const { processors = 1, cpu = {}, svmDisabled = false, lenientMsrs = false, vmx = {} } = options;
    const all = typeof processors === "number" ? Array.from({ length: processors }, () => ({})) : processors;
    const tsc = (): bigint => this.tsc();
    const each = all.map((options) => ({ svmDisabled, ...options }));
    return new Processors(each, { clock: this.clock, tsc, cpu, lenientMsrs, memory: this.memory, vmx });
  }

  /** The firmware has another processor run a procedure, which can only be the core's; true if it came back, as a guest. */
  #dispatch(number: number, procedure: number, argument: number): boolean {
    if (procedure !== this.processorEntry) throw new Error(`no procedure at 0x${procedure.toString(16)}`);
    const processor = this.processor(number);
    const start = argument - this.block.base;
    processor.index = Number(this.memory.read64(argument));
    fillStart(this.#linear(), start, this.firmware, processor.msrs, number);
    this.processors.coreOn(processor, this.#exports!).processor(processor.index);
    return processor.runningGuest !== undefined;
  }

  #addUart(port: number): Uart {
    const uart = new Uart();
    this.ports.add(port, 8, uart);
    return uart;
  }

  #addInterruptControllers(): IoApic {
    const ioApic = new IoApic((address, data) => this.processors.message(address, data));
    for (const { apic } of this.processors.all) apic.onEoi = (vector) => ioApic.endOfInterrupt(vector);
    this.memory.map(APIC_BASE, 4096, this.processors);
    this.memory.map(IOAPIC_BASE, 4096, ioApic);
    return ioApic;
  }

  /** The host bridge, the cards, and what the firmware gives them: addresses, handles, perhaps a driver. */
  #addPciFunctions(options: readonly CardOptions[]): NetworkCard[] {
    this.bus.attach(new PciFunction({ vendor: 0x8086, device: 0x29c0, classCode: 0x06_0000 }), 0);
    return options.map((card, i) => {
      const nic = makeCard(this.clock, { mac: [0x52, 0x54, 0, 0x12, 0x34, 0x56 + i], ...card });
      this.bus.attach(nic.pci, 2 + i);
      nic.place(0xc000_0000 + i * 0x10_0000, 0x6000 + i * 0x100);
      nic.pci.writeConfig(Config.InterruptLine, 1, 10);
      nic.pci.writeConfig(Config.Command, 2, Command.Io | Command.Memory);
      this.#connect(nic);
      return nic;
    });
  }

  #connect(nic: NetworkCard): void {
    const handle = this.firmware.addController(nic.pci);
    if (!this.options.firmwareNicDriver || !(nic instanceof E1000)) return;
    const ring = this.firmware.map.allocate(0, MemoryType.BootServicesData, NIC_DRIVER_PAGES, 0)!;
    startNicDriver(this.memory, nic, ring);
    const previous = this.firmware.bootServices.onDisconnect;
    this.firmware.bootServices.onDisconnect = (controller) => {
      previous(controller);
      if (controller === handle) stopNicDriver(nic);
    };
  }

  /** As the entry path does: on a border of 2 MiB, of a type that no operating system uses. */
  #reserveBlock(): void {
    const { map } = this.firmware;
    const pages = (BLOCK_SIZE + BLOCK_BORDER) / 4096;
    const found = map.allocate(1, MemoryType.Reserved, pages, 0xffff_ffff);
    if (found === undefined) throw new Error("no memory for the block");
    const base = Math.ceil(found / BLOCK_BORDER) * BLOCK_BORDER;
    map.set(found, BLOCK_SIZE + BLOCK_BORDER, MemoryType.Conventional);
    map.set(base, BLOCK_SIZE, MemoryType.Reserved);
    this.block = { base, size: BLOCK_SIZE };
  }
}
