// Guests that do anything to each other and to what they share, in any order: no processor is lost or stopped, no real
// INIT or SIPI leaves, Sheer does not trap. Every run is the same; a failure names the seed and the action.
import { describe, expect, test } from "vitest";
import { Apic, APIC_BASE } from "../../../machine/apic.ts";
import { VirtioNetDriver } from "../../../machine/driver/virtio-net.ts";
import type { Machine } from "../../../machine/machine.ts";
import { Msr } from "../../../machine/msrs.ts";
import type { AccessWidth } from "../../../machine/guest/code.ts";
import type { Guest } from "../../../machine/guest/guest.ts";
import { GuestException, WaitsForStartup } from "../../../machine/guest/events.ts";
import { frame, random, VECTORS } from "../net/setup.ts";
import { type Boot, readCounters, VENDORS } from "../vcpu/setup.ts";
import { Command, enterLongMode, ICR, longModeOf, nmis, place, send, settle } from "./setup.ts";

const ACTIONS = 800;
const BARS = [0xc000_0000, 0xd000_0000, 0xd002_0000, 0xe800_0000];
const PORTS = [0x6000, 0x7000];
/** Where the core holds no lock: there another processor may act. */
const POINTS = new Set([
  "openInterruptWindow",
  "clearBreakpoints",
  "cpuid",
  "atomicCompareExchange32",
  "atomicExchange32",
]);
const NESTED = 2;
const APIC_ENABLED = 1n << 11n;
const APIC_REGISTERS = [Apic.Id, Apic.Eoi, Apic.IcrHigh, Apic.Svr, Apic.LvtTimer];

class WildProcessors {
  readonly machine: Machine;
  readonly driver: VirtioNetDriver;
  readonly #below: (limit: number) => number;
  #nested = NESTED;

  constructor(boot: Boot, seed: number, processors: number) {
    this.#below = random(seed);
    this.machine = boot({ processors, cards: [{ model: "82574L" }], onImport: (name) => this.#pass(name) });
    this.machine.clock.advance(5_000_000);
    this.machine.processors.choose = (ready) => ready[this.#below(ready.length + 1)];
    this.driver = new VirtioNetDriver(this.machine.guest, { vectors: VECTORS });
    this.driver.start();
    const enter = longModeOf(this.machine.guest);
    for (const guest of this.machine.guests) guest.processor.onRestart = () => enter(guest);
    this.#nested = 0;
  }

  #of<T>(choices: readonly T[]): T {
    return choices[this.#below(choices.length)]!;
  }

  /** A processor that can act now; undefined if none can. */
  #actor(): Guest | undefined {
    const free = this.machine.processors.all.filter(({ busy, guest }) => !busy && !guest.processor.waiting);
    return free.length ? this.#of(free).guest : undefined;
  }

  /** What needs no lock, and waits for no other processor as a raised task priority may, can come anywhere. */
  #pass(name: string): void {
    if (this.#nested >= NESTED || !POINTS.has(name) || this.#below(20)) return;
    const guest = this.#actor();
    if (!guest) return;
    this.#nested++;
    this.#perform(guest, this.#of(this.#signals));
    this.#nested--;
  }

  readonly #signals: readonly [string, (guest: Guest) => void][] = [
    ["INIT", (guest) => this.#signal(guest, Command.Init)],
    ["INIT, deasserted", (guest) => this.#signal(guest, Command.InitDeassert)],
    ["SIPI", (guest) => this.#signal(guest, Command.startup(this.#below(256)))],
    ["SIPI", (guest) => this.#signal(guest, Command.startup(this.#below(256)))],
    ["NMI", (guest) => this.#signal(guest, Command.Nmi)],
    ["fixed", (guest) => this.#signal(guest, 0x4000 | (0x40 + this.#below(0x80)))],
    ["any command", (guest) => guest.write32(ICR, this.#command())],
    ["logical name", (guest) => guest.write32(APIC_BASE + Apic.Ldr, (1 << this.#below(32)) >>> 0)],
    ["format", (guest) => guest.write32(APIC_BASE + Apic.Dfr, this.#of([0xffff_ffff, 0x0fff_ffff]))],
    ["local APIC", (guest) => this.#writeApic(guest, APIC_REGISTERS)],
    ["cpuid", (guest) => guest.cpuid(this.#below(8))],
  ];

  readonly #shared: readonly [string, (guest: Guest) => void][] = [
    ["task priority", (guest) => this.#writeApic(guest, [Apic.Tpr])],
    ["memory BAR", (guest) => this.#configure(guest, 0x14, this.#of(BARS))],
    ["port BAR", (guest) => this.#configure(guest, 0x10, this.#of(PORTS))],
    ["command", (guest) => this.#configure(guest, 4, this.#below(8))],
    ["read of a BAR", (guest) => guest.read32(this.#of(BARS) + 4 * this.#below(0x2_8000))],
    ["write to a BAR", (guest) => guest.write32(this.#of(BARS) + 4 * this.#below(0x2_8000), this.#below(2 ** 32))],
    ["ports", (guest) => guest.out(this.#of(PORTS) + this.#below(24), this.#of([1, 2, 4] as const), this.#below(4))],
    ["traffic", () => this.machine.card.wire.inject(frame(60))],
    ["time", () => this.machine.clock.advance(100_000)],
    ["interrupts on", (guest) => guest.enableInterrupts()],
    ["interrupts off", (guest) => guest.cli()],
    ["msr", (guest) => guest.wrmsr(Msr.ApicBase, BigInt(this.#below(2 ** 32)))],
    ["call", (guest) => guest.hypercall({ 0: 0x5348_0001n, 3: BigInt(this.#below(40)) })],
  ];

  #signal(guest: Guest, command: number): void {
    const shorthand = this.#of([0, 0, 0, 0, Command.AllButSelf, Command.Self, Command.Logical]);
    send(guest, command | shorthand, this.#of([this.#below(4), this.#below(4), 0xff, this.#below(256)]));
  }

  /** Any delivery mode but SMI, which is the firmware's. */
  #command(): number {
    return ((this.#below(2 ** 20) & ~0x700) | (this.#of([0, 1, 3, 4, 5, 6, 7]) << 8)) >>> 0;
  }

  #writeApic(guest: Guest, registers: readonly number[]): void {
    const register = this.#of(registers);
    const offset = this.#of([0, 0, 0, 1, 4, 8]);
    guest.write(APIC_BASE + register + offset, this.#of<AccessWidth>([1, 2, 4, 8]), this.#below(2 ** 32));
  }

  #configure(guest: Guest, register: number, value: number): void {
    guest.out(0xcf8, 4, 0x8000_1000 | register);
    guest.out(0xcfc, 4, value);
  }

  #perform(guest: Guest, [name, action]: readonly [string, (guest: Guest) => void]): void {
    try {
      action(guest);
    } catch (error) {
      if (!(error instanceof GuestException || error instanceof WaitsForStartup))
        throw new Error(name, { cause: error });
    }
  }

  act(): void {
    const guest = this.#actor();
    if (guest) this.#perform(guest, this.#of(this.#below(2) ? this.#signals : this.#shared));
    if (!this.#below(8)) for (const { processor } of this.machine.guests) processor.settle();
  }

  /** From now on, one thing after the other. */
  calm(): void {
    this.#nested = NESTED;
    this.machine.processors.choose = ([first]) => first;
    settle(this.machine);
    for (const { processor } of this.machine.guests) processor.onRestart = () => undefined;
    // Those that have disabled their local APICs enable them.
    const awake = this.machine.guests.filter(({ processor }) => !processor.waiting);
    for (const guest of awake) guest.wrmsr(Msr.ApicBase, guest.rdmsr(Msr.ApicBase) | APIC_ENABLED);
  }
}

describe.each(VENDORS)("%s", (_vendor, boot) => {
  test.each([
    [1, 2],
    [2, 3],
    [3, 4],
  ])("guests that do anything on several processors lose none (seed %i, %i processors)", (seed, processors) => {
    const wild = new WildProcessors(boot, seed, processors);
    const { machine } = wild;
    for (let i = 0; i < ACTIONS; i++) wild.act();
    wild.calm();
    const [first, ...others] = machine.guests as [Guest, ...Guest[]];
    for (const [i, guest] of others.entries()) {
      for (const command of [Command.Init, Command.startup(0x60 + i)]) send(first, command, i + 1);
      settle(machine);
      expect(place(guest)).toBe(`${(0x60 + i).toString(16)}00:0`);
      enterLongMode(machine, guest);
      guest.processor.received.length = 0;
      send(first, Command.Nmi, i + 1);
      settle(machine);
      expect(nmis(guest)).toBe(1);
    }
    // All hear of a change.
    wild.driver.pci.write(4, 2, 7);
    for (const base of [BARS[1]!, BARS[3]!]) {
      wild.driver.pci.write(0x14, 4, base);
      const table = wild.driver.tableEntry(0);
      first.write32(table + 8, 0x5a);
      for (const guest of machine.guests) expect(guest.read32(table + 8)).toBe(0x5a);
    }
    expect(readCounters(machine).get("traps")).toBe(0n);
    expect(machine.guests.map((guest) => guest.cpuid(1)[1] >>> 24)).toEqual(machine.guests.map((_, i) => i));
  });
});
