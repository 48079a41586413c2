// The guest's address space and devices, which all its processors share: what one changes, all find changed.
import { describe, expect, test } from "vitest";
import { Apic, APIC_BASE } from "../../../machine/apic.ts";
import { VirtioNetDriver } from "../../../machine/driver/virtio-net.ts";
import type { Machine } from "../../../machine/machine.ts";
import { Config } from "../../../machine/pci/function.ts";
import type { Choice } from "../../../machine/processors.ts";
import { frame, MODERATION, VECTORS } from "../net/setup.ts";
import { type Boot, readCounters, VENDORS } from "../vcpu/setup.ts";
import { CHOICES, Command, enterLongMode, send, settle, unsteady } from "./setup.ts";

const ELSEWHERE = [0xd000_0000, 0xd100_0000, 0xd000_0000 + 0x4_0000];
const TABLE = 0;
const PLAIN = 0xffff_ffff;

interface Net {
  readonly machine: Machine;
  readonly driver: VirtioNetDriver;
}

/** Processors with a card, whose driver runs on the first. */
function startBy(boot: Boot, processors: number, choose?: Choice): Net {
  const machine = boot({ processors, cards: [{ model: "82574L" }] });
  if (choose) machine.processors.choose = choose;
  machine.clock.advance(MODERATION);
  const driver = new VirtioNetDriver(machine.guest, { vectors: VECTORS });
  machine.guest.enableInterrupts();
  driver.start();
  driver.offerBuffers(16);
  return { machine, driver };
}

describe.each(VENDORS)("%s", (_vendor, boot) => {
  const start = (processors: number, choose?: Choice): Net => startBy(boot, processors, choose);

  describe.each(CHOICES)("with processors that take Sheer's NMIs %s", (_name, choose) => {
    test("a BAR that one moves is where it was put for all of them, as soon as the write is over", () => {
      const { machine, driver } = start(4, choose());
      const table = driver.tableEntry(TABLE);
      const offset = table - driver.pci.bar(1);
      driver.setVector(TABLE, 0x57);
      let from = driver.pci.bar(1);
      for (const [i, to] of ELSEWHERE.entries()) {
        // Each knows both places.
        for (const guest of machine.guests) {
          expect(guest.read32(from + offset + 8)).toBe(0x57);
          expect(guest.read32(to + offset + 8)).toBe(PLAIN);
        }
        machine.guests[(i + 1) % 4]!.out(0xcf8, 4, 0x8000_1014);
        machine.guests[(i + 1) % 4]!.out(0xcfc, 4, to);
        for (const guest of machine.guests) {
          expect(guest.read32(to + offset + 8)).toBe(0x57);
          expect(guest.read32(from + offset + 8)).toBe(PLAIN);
        }
        from = to;
      }
      settle(machine);
    });

    test("ports that one moves are where they were put for all of them", () => {
      const { machine, driver } = start(3, choose());
      const from = driver.ports;
      machine.guests[2]!.out(0xcf8, 4, 0x8000_1010);
      machine.guests[2]!.out(0xcfc, 4, 0x7000);
      for (const guest of machine.guests) {
        expect(guest.in(0x7000 + 18, 1)).toBe(7);
        expect(guest.in(from + 18, 1)).toBe(0xff);
      }
    });

    test("no processor is stopped for ever by many changes from many of them", () => {
      const { machine, driver } = start(4, choose());
      const offset = driver.tableEntry(TABLE) - driver.pci.bar(1);
      driver.setVector(TABLE, 0x57);
      for (let i = 0; i < 24; i++) {
        const guest = machine.guests[i % 4]!;
        guest.out(0xcf8, 4, 0x8000_1014);
        guest.out(0xcfc, 4, ELSEWHERE[i % 2]!);
        expect(machine.guests[(i + 3) % 4]!.read32(ELSEWHERE[i % 2]! + offset + 8)).toBe(0x57);
      }
      settle(machine);
    });
  });

  test("a change reaches a processor that waits for SIPI when it is started", () => {
    const { machine, driver } = start(2);
    const offset = driver.tableEntry(TABLE) - driver.pci.bar(1);
    driver.setVector(TABLE, 0x57);
    const other = machine.guests[1]!;
    expect(other.read32(ELSEWHERE[0]! + offset + 8)).toBe(PLAIN);
    send(machine.guest, Command.Init, 1);
    driver.pci.write(Config.Bar0 + 4, 4, ELSEWHERE[0]!);
    send(machine.guest, Command.startup(0x10), 1);
    settle(machine);
    enterLongMode(machine, other);
    expect(other.read32(ELSEWHERE[0]! + offset + 8)).toBe(0x57);
  });

  test("a guest that renames its local APIC stops nobody", () => {
    const { machine, driver } = start(2);
    const other = machine.guests[1]!;
    for (const width of [4, 1, 2, 8] as const) other.write(APIC_BASE + Apic.Id, width, 0x0909_0909);
    other.write(APIC_BASE + Apic.Id + 3, 1, 9);
    driver.pci.write(Config.Bar0 + 4, 4, ELSEWHERE[0]!);
    send(machine.guest, Command.Nmi, 1);
    settle(machine);
    expect(other.received.length).toBe(1);
    expect(other.read32(APIC_BASE + Apic.Id)).toBe(0x0100_0000);
  });

  describe("a message of the virtio card", () => {
    const VECTOR = 0x63;
    const NAMES = [0x01, 0x02, 0x04];

    /** Sends the message of an entry, from the processor that the card's interrupts come to. */
    function arrive({ machine, driver }: Net): number[][] {
      machine.card.wire.inject(frame(100));
      for (let round = 0; round < 3; round++) {
        machine.clock.advance(MODERATION);
        for (const guest of machine.guests) guest.enableInterrupts();
      }
      driver.collect();
      return machine.guests.map((guest) => {
        const vectors = guest.takeInterrupts();
        for (const vector of vectors) if (vector === VECTOR) guest.write32(APIC_BASE + Apic.Eoi, 0);
        return vectors;
      });
    }

    function aim({ machine, driver }: Net, destination: number, logical: boolean, by = 0): void {
      const at = driver.tableEntry(1);
      const guest = machine.guests[by]!;
      guest.write32(at, APIC_BASE | (destination << 12) | (logical ? 0xc : 0));
      guest.write32(at + 8, VECTOR);
      machine.guest.takeInterrupts();
    }

    function named(): Net {
      const net = start(3);
      net.machine.guests.forEach((guest, number) => guest.write32(APIC_BASE + Apic.Ldr, NAMES[number]! << 24));
      return net;
    }
    const only = (...numbers: number[]): number[][] => [0, 1, 2].map((n) => (numbers.includes(n) ? [VECTOR] : []));

    test.each([0, 1, 2])("reaches the processor that the guest wrote in the entry, by its id: %i", (number) => {
      const net = named();
      aim(net, number, false);
      expect(arrive(net)).toEqual(only(number));
      expect(arrive(net)).toEqual(only(number));
    });

    test.each([0, 1, 2])("reaches it by its logical id: %i", (number) => {
      const net = named();
      aim(net, NAMES[number]!, true);
      expect(arrive(net)).toEqual(only(number));
    });

    test("reaches several if several were written", () => {
      const net = named();
      aim(net, 0x06, true);
      expect(arrive(net)).toEqual(only(1, 2));
      aim(net, 0x03, true);
      expect(arrive(net)).toEqual(only(0, 1));
      aim(net, 0xff, false);
      expect(arrive(net)).toEqual(only(0, 1, 2));
    });

    test("reaches nobody if none was written", () => {
      const net = named();
      aim(net, 9, false);
      expect(arrive(net)).toEqual(only());
      aim(net, 0x40, true);
      expect(arrive(net)).toEqual(only());
      net.machine.guest.write32(APIC_BASE + Apic.Ldr, 0);
      aim(net, 0, true);
      expect(arrive(net)).toEqual(only());
    });

    test("goes to another after the entry was written anew, by any processor", () => {
      const net = named();
      for (const [to, by] of [
        [1, 0],
        [2, 1],
        [0, 2],
        [2, 2],
        [1, 1],
      ] as const) {
        aim(net, to, false, by);
        expect(arrive(net)).toEqual(only(to));
      }
    });

    test("that was masked goes out when another processor unmasks it", () => {
      const net = named();
      aim(net, 2, false);
      const control = net.driver.tableEntry(1) + 12;
      net.machine.guest.write32(control, 1);
      expect(arrive(net)).toEqual(only());
      net.machine.guests[1]!.write32(control, 0);
      for (const guest of net.machine.guests) guest.enableInterrupts();
      expect(net.machine.guests.map((guest) => guest.takeInterrupts())).toEqual(only(2));
    });

    test("of frames that another processor sends arrives", () => {
      const net = named();
      const { machine, driver } = net;
      const port = driver.ports;
      driver.queue(frame(60));
      driver.transmitQueue.publish();
      machine.guests[2]!.out(port + 16, 2, 1);
      machine.clock.advance(MODERATION);
      expect(machine.card.wire.sent.length).toBe(1);
    });
  });

  test("counters are the sums of all processors", () => {
    const machine = boot({ processors: 4 });
    machine.processors.choose = unsteady(3);
    const before = readCounters(machine);
    machine.guests.forEach((guest, number) => {
      for (let i = 0; i <= number; i++) guest.cpuid(0);
      guest.write32(machine.block.base + 0x1000, 1);
    });
    const after = readCounters(machine);
    expect(after.get("exits.cpuid")! - before.get("exits.cpuid")!).toBe(1n + 2n + 3n + 4n);
    expect(after.get("block.writes-dropped")! - before.get("block.writes-dropped")!).toBe(4n);
    const cpuids = machine.guests.map((guest) => guest.exits("cpuid"));
    expect(cpuids).toEqual([1, 2, 3, 4]);
  });
});
