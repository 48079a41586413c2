// A guest that does anything: whatever it does, Sheer does not trap, its block is as it was for the guest, and a well
// behaved instruction afterwards is answered as before. Every run is the same; a failure names the seed and the action.
import { expect, test } from "vitest";
import { APIC_BASE, Delivery } from "../../../machine/apic.ts";
import type { Width } from "../../../machine/bits.ts";
import { NEWER } from "../../../machine/cpuid.ts";
import type { Machine, MachineOptions } from "../../../machine/machine.ts";
import { ECAM_BASE } from "../../../machine/pci/bus.ts";
import { Msr } from "../../../machine/msrs.ts";
import type { AccessWidth } from "../../../machine/guest/code.ts";
import { EventType, type GuestEvent, GuestException } from "../../../machine/guest/events.ts";
import { Gpr } from "../../../machine/guest/state.ts";
import { random } from "../net/setup.ts";
import { boot as bootAmd, type Boot, bootIntel, readCounters } from "./setup.ts";

const ACTIONS = 4_000;
const CARD = 2 << 3;
const CARD_MEMORY = 0xc000_0000;
const CARD_PORTS = 0x6000;
const MSRS = [...Object.values(Msr), 0x800, 0x830, 0x1234, 0x4000_0000, 0xc000_2000, 0xc001_0118, 0xffff_ffff];
const PORTS = [0xcf8, 0xcf9, 0xcfa, 0xcfb, 0xcfc, 0xcfd, 0xcfe, 0xcff, 0x3e7, 0x3e8, 0x3ef, 0x3f8, 0x80, 0xffff];
/** Offsets of what Sheer looks at in the local APIC, and beside. */
const APIC_REGISTERS = [0x20, 0x80, 0x84, 0xb0, 0x2fc, 0x300, 0x300, 0x304, 0x308, 0x310];
/** Interrupts to all, to all others, to itself: INIT, SIPI, fixed, NMI. */
const COMMANDS = [0xc_4500, 0xc_4608, 0x8_8500, 0x4_0041, 0xc_00f0, 0x0_0400];
const PLAIN = ["invd", "wbinvd", "vmrun", "vmload", "vmsave", "stgi", "clgi", "skinit", "invlpga", "vmxon", "vmclear", "vmread", "vmlaunch", "invept"] as const; // prettier-ignore
/** Whatever the guest does with these three makes a machine that no test can look at. */
const UNHARMED = new Set<number>([Msr.Efer, Msr.FsBase, Msr.GsBase]);

class WildGuest {
  readonly machine: Machine;
  readonly #below: (limit: number) => number;
  readonly #callsAll: boolean;

  constructor(boot: Boot, seed: number, options: MachineOptions) {
    this.#below = random(seed);
    this.#callsAll = boot === bootAmd;
    this.machine = boot({ cards: [{ model: "82574L" }, { model: "82540EM" }], ...options });
    this.machine.clock.advance(5_000_000);
  }

  #of<T>(choices: readonly T[]): T {
    return choices[this.#below(choices.length)]!;
  }
  #word(): number {
    return this.#of([0, 1, 0xff, 0x8000_0000, 0xffff_ffff, this.#of(COMMANDS), this.#below(2 ** 32), this.#below(256)]);
  }
  #value(): bigint {
    return (BigInt(this.#word()) << 32n) | BigInt(this.#word());
  }
  #width(): Width {
    return this.#of([1, 2, 4] as const);
  }

  #port(): number {
    return this.#of([this.#of(PORTS), CARD_PORTS + this.#below(0x110), this.#below(0x1_0000)]);
  }

  /** Registers of what Sheer stands before, its block, and places around them. */
  #address(): number {
    const { block } = this.machine;
    const page = this.#of([
      APIC_BASE,
      CARD_MEMORY,
      CARD_MEMORY + 0x2_0000,
      CARD_MEMORY + 0x4_0000,
      ECAM_BASE + (CARD << 12),
      ECAM_BASE,
      block.base,
      block.base + 0x1000 * this.#below(block.size / 0x1000),
    ]);
    return page + this.#of([this.#below(0x1000), 4 * this.#below(64), 0xff8 + this.#below(16)]);
  }

  readonly #actions: readonly [string, () => void][] = [
    ["in", () => this.machine.guest.in(this.#port(), this.#width())],
    ["out", () => this.machine.guest.out(this.#port(), this.#width(), this.#word())],
    ["configuration by ports", () => this.#configure()],
    ["read", () => this.machine.guest.read(this.#address(), this.#of([1, 2, 4, 8] as const))],
    ["write", () => this.machine.guest.write(this.#address(), this.#of<AccessWidth>([1, 2, 4, 8]), this.#value())],
    ["local APIC", () => this.#writeApic()],
    ["rdmsr", () => this.machine.guest.rdmsr(this.#of([...MSRS, this.#word()]))],
    ["wrmsr", () => this.#writeMsr()],
    ["cpuid", () => this.machine.guest.cpuid(this.#of([0, 1, 7, 0xd, 0x4000_0000, this.#word()]), this.#word())],
    ["vmmcall", () => this.#call()],
    ["plain", () => this.machine.guest.plain(this.#of(PLAIN))],
    ["garbage", () => this.#garbage()],
    ["exit", () => this.#interruptedExit()],
  ];

  /** All but INIT to itself, after which it would not go on here. */
  #writeApic(): void {
    const word = this.#word();
    const init = ((word >>> 8) & 7) === Delivery.Init;
    this.machine.guest.write32(APIC_BASE + this.#of(APIC_REGISTERS), init ? (word | 0xc_0000) >>> 0 : word);
  }

  #configure(): void {
    const { guest } = this.machine;
    const fn = this.#of([CARD, CARD, 3 << 3, 0, this.#below(0x1_0000)]);
    guest.out(0xcf8, 4, (0x8000_0000 | (fn << 8) | (this.#below(64) << 2)) >>> 0);
    const port = 0xcfc + this.#below(4);
    if (this.#below(2)) guest.out(port, this.#width(), this.#word());
    else guest.in(port, this.#width());
  }

  #writeMsr(): void {
    const index = this.#of([...MSRS, this.#word()]);
    if (!UNHARMED.has(index)) this.machine.guest.wrmsr(index, this.#value());
  }

  #call(): void {
    const number = BigInt(this.#of([0x5348_0000, 0x5348_0001, 0x5348_0002, 0x5348_0003, this.#word()]));
    this.machine.guest.hypercall({ 0: number, 3: this.#of([BigInt(this.#below(64)), this.#value()]) });
  }

  /** Any bytes, at an instruction that touched a page of Sheer's. */
  #garbage(): void {
    const { guest } = this.machine;
    const { processor } = guest;
    const prefixes = Array.from({ length: this.#below(4) }, () => this.#of([0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x48, 0x2e]));
    const bytes = [...prefixes, ...Array.from({ length: 15 }, () => this.#below(256))].slice(0, 15);
    const address = this.#address();
    processor.memory.writeBytes(guest.code, bytes);
    processor.rip = BigInt(guest.code);
    for (const register of [0, 1, 2, 3, 5, 6, 7]) processor.setGpr(register, BigInt(address));
    if (this.#below(2)) processor.setGpr(1, BigInt(this.#below(9)));
    const access = this.#of([{}, { write: true }, { write: true }, { fetch: true }]);
    const present = this.#below(2) === 1;
    processor.exitForFault({ address, access, tables: false, present, reserved: false, rights: present ? 1 : 0 });
    processor.settle();
  }

  /** Any event, with an error code if it has one. AMD's processors may call each an exception. */
  #event(): GuestEvent {
    const vector = this.#below(256);
    const code = this.#below(2);
    const exception = code ? this.#of([8, 10, 11, 12, 13, 14, 17]) : this.#of([0, 1, 5, 6, 7, 9, 16, 18, 19]);
    const error = code ? this.#below(16) : undefined;
    return this.#of<GuestEvent>([
      { type: EventType.External, vector, error: undefined },
      { type: EventType.Nmi, vector: 2, error: undefined },
      { type: EventType.SoftwareInterrupt, vector, error: undefined },
      { type: EventType.SoftwareException, vector: 3 + code, error: undefined },
      { type: EventType.Exception, vector: exception, error },
      this.#callsAll ? { type: EventType.Exception, vector, error: undefined } : { type: EventType.Exception, vector: exception, error }, // prettier-ignore
    ]);
  }

  #interruptedExit(): void {
    const { processor } = this.machine.guest;
    const fault = { address: this.#address(), access: {}, tables: false, present: false, reserved: false, rights: 0 };
    processor.interruptsEnabled = true;
    processor.exitForFault(fault, this.#event());
    processor.settle();
    processor.interruptsEnabled = false;
  }

  /** One action; what it was. */
  act(): string {
    const [name, action] = this.#of(this.#actions);
    const { processor } = this.machine.guest;
    const controls = [0, 3, 4].map((number) => [number, processor.controlRegister(number)] as const);
    const { efer, rflags } = processor;
    const stack = processor.gpr(Gpr.Rsp);
    try {
      action();
    } catch (error) {
      if (!(error instanceof GuestException)) throw new Error(name, { cause: error });
    }
    // The next action starts afresh: the guest's operating system has ended the program that did this.
    processor.shadow = false;
    processor.takeInjection();
    for (const [number, value] of controls) processor.setControlRegister(number, value);
    processor.efer = efer;
    processor.rflags = rflags;
    processor.setGpr(Gpr.Rsp, stack);
    return name;
  }
}

const processors: readonly [string, number, Boot, MachineOptions][] = [
  ["AMD-V", 1, bootAmd, {}],
  ["AMD-V, newer", 2, bootAmd, { cpu: NEWER }],
  ["VT-x", 3, bootIntel, {}],
];
test.each(processors)(
  "%s: a guest that does anything harms nobody but itself (seed %i)",
  (_name, seed, boot, options) => {
    const wild = new WildGuest(boot, seed, options);
    const { machine } = wild;
    const { guest, block } = machine;
    const hostSave = (): bigint | undefined => (boot === bootAmd ? machine.msrs.read(Msr.VmHsavePa) : undefined);
    const saved = hostSave();
    const done = new Map<string, number>();
    for (let i = 0; i < ACTIONS; i++) {
      const name = wild.act();
      done.set(name, (done.get(name) ?? 0) + 1);
    }
    expect(done.size).toBe(13);
    expect(guest.processor.traps).toEqual([]);
    expect(guest.read(block.base + 0x2000, 8)).toBe(0n);
    const [, ...signature] = guest.cpuid(0x4000_0000);
    expect(Buffer.from(Uint32Array.from(signature).buffer).toString()).toBe("SheerSheerSh");
    const counters = readCounters(machine);
    expect(counters.get("traps")).toBe(0n);
    for (const name of ["exits.port", "exits.nested-page-fault", "exits.vmmcall", "block.writes-dropped"])
      expect(counters.get(name)).toBeGreaterThan(100n);
    // No other processor was reset, and what Sheer's own processor runs on is as it was.
    expect(machine.apic.sent.filter(({ delivery }) => delivery === 5 || delivery === 6)).toEqual([]);
    expect(machine.apic.sent.length).toBeGreaterThan(3);
    expect(hostSave()).toBe(saved);
    expect(machine.msrs.read(Msr.ApicBase)).toBe(0xfee0_0900n);
    // The log has Sheer's lines only, and was not flooded.
    const lines = machine.log().trimEnd().split("\r\n");
    expect(lines.filter((line) => !line.startsWith("sheer: "))).toEqual([]);
    expect(lines.length).toBeLessThan(200);
  },
);
