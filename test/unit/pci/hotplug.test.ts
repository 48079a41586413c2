// A mediated card that is taken out and put in again while the guest runs, and BARs of which half is new.
import { describe, expect, test } from "vitest";
import { Command, Config } from "../../../machine/pci/function.ts";
import type { Machine } from "../../../machine/machine.ts";
import type { PciBridge } from "../../../machine/pci/bridge.ts";
import { VirtioNetDriver } from "../../../machine/driver/virtio-net.ts";
import { GuestPciFunction } from "../../../machine/driver/pci.ts";
import { cardFunction, frame, settle, start, VECTORS } from "../net/setup.ts";
import { ABSENT, addBridge, bootWith, guestFunction, idAt, plugCard, VIRTIO_NET } from "./setup.ts";

const SLOT = "01:00.0";
const LINK_TIME = 2_000_000;

function machine(): { pc: Machine; bridge: PciBridge } {
  let bridge!: PciBridge;
  const pc = bootWith({}, (bare) => {
    bridge = addBridge(bare, "00:04.0", 1, 1);
    plugCard(bare, bridge);
  });
  pc.clock.advance(LINK_TIME);
  return { pc, bridge };
}

/** Takes the card out; its registers and configuration are as after power-on when it comes back. */
function unplug(pc: Machine, bridge: PciBridge): void {
  const { pci } = pc.card;
  bridge.unplug(pci);
  for (let bar = 0; bar < 6; bar++) pci.writeConfig(Config.Bar0 + 4 * bar, 4, 0);
}

/** The driver of a guest that finds its card where it is now. */
function drive(pc: Machine): VirtioNetDriver {
  const driver = new VirtioNetDriver(pc.guest, { vectors: VECTORS, bus: 1 });
  pc.guest.enableInterrupts();
  driver.start();
  settle(pc);
  return driver;
}

function carries(pc: Machine, driver: VirtioNetDriver): void {
  driver.offerBuffers(4);
  driver.send(frame(100));
  pc.card.wire.inject(frame(200));
  settle(pc);
  expect(pc.card.wire.take()).toEqual([frame(100)]);
  expect(driver.takeFrames()).toEqual([frame(200)]);
}

describe("a card behind a bridge", () => {
  test("works", () => {
    const { pc } = machine();
    carries(pc, drive(pc));
  });

  test("is gone for the guest when it is gone, whatever the guest still does to it", () => {
    const { pc, bridge } = machine();
    const driver = drive(pc);
    unplug(pc, bridge);
    driver.send(frame(100));
    settle(pc);
    for (const way of ["ports", "ecam"] as const) expect(idAt(pc, SLOT, way)).toBe(ABSENT);
    expect(pc.guest.in(driver.ports, 4)).toBe(ABSENT);
    driver.send(frame(100));
    guestFunction(pc, SLOT).write(Config.Command, 2, 7);
    guestFunction(pc, SLOT).write(Config.Bar0, 4, 0x7000);
    settle(pc);
    expect(idAt(pc, "00:04.0")).toBe(0x000c_1b36);
  });

  test("comes back as virtio-net after power-on, and works where the guest then puts it", () => {
    const { pc, bridge } = machine();
    const before = drive(pc);
    unplug(pc, bridge);
    expect(idAt(pc, SLOT)).toBe(ABSENT);
    bridge.plug(pc.card.pci, pc.bus, 0);
    const pci = guestFunction(pc, SLOT);
    expect(idAt(pc, SLOT, "ecam")).toBe(VIRTIO_NET);
    expect([pci.read(Config.Command, 2), pci.bar(0), pci.bar(1)]).toEqual([0, 0, 0]);
    pci.write(Config.Bar0, 4, 0x7000);
    pci.write(Config.Bar0 + 4, 4, 0xd000_0000);
    pci.write(Config.Command, 2, Command.Io | Command.Memory | Command.BusMaster);
    pc.clock.advance(LINK_TIME);
    expect(before.ports).not.toBe(0x7000);
    carries(pc, drive(pc));
  });

  test("comes back as virtio-net also if the guest did not look in between", () => {
    const { pc, bridge } = machine();
    unplug(pc, bridge);
    bridge.plug(pc.card.pci, pc.bus, 0);
    expect(idAt(pc, SLOT)).toBe(VIRTIO_NET);
  });
});

describe("a BAR of 64 bits", () => {
  const [LOW, HIGH] = [Config.Bar0 + 4, Config.Bar0 + 8];

  function decoding(): { pc: Machine; pci: GuestPciFunction; place: () => number[] } {
    const pc = start("BCM57766");
    const pci = cardFunction(pc);
    pci.write(Config.Command, 2, Command.Io | Command.Memory | Command.BusMaster);
    const real = pc.cards[0]!.pci;
    return { pc, pci, place: () => [real.get(Config.Bar0 + 4, 4), real.get(Config.Bar0, 4)] };
  }

  test.each([
    ["the lower half first", [LOW, HIGH]],
    ["the upper half first", [HIGH, LOW]],
  ])("moves once it is whole: %s", (_, order) => {
    const { pci, place } = decoding();
    const before = place();
    const values = new Map([
      [LOW, 0xe000_0000],
      [HIGH, 0x2],
    ]);
    pci.write(order[0]!, 4, values.get(order[0]!)!);
    expect(place()).toEqual(before);
    pci.write(order[1]!, 4, values.get(order[1]!)!);
    expect(place()).toEqual([2, 0xe000_0004]);
  });

  test("stays through sizing of either half, and is whole after it", () => {
    const { pci, place } = decoding();
    const before = place();
    for (const half of [LOW, HIGH, HIGH, LOW]) {
      const value = pci.read(half, 4);
      pci.write(half, 4, 0xffff_ffff);
      pci.write(half, 4, value);
      expect(place()).toEqual(before);
    }
    pci.write(LOW, 4, 0xe000_0000);
    expect(place()).toEqual(before);
  });

  test("moves with decoding off only when that is on", () => {
    const { pci, place } = decoding();
    const before = place();
    pci.write(Config.Command, 2, 0);
    pci.write(HIGH, 4, 0);
    pci.write(LOW, 4, 0xe000_0000);
    expect(place()).toEqual(before);
    pci.write(Config.Command, 2, Command.Memory);
    expect(place()).toEqual([0, 0xe000_0004]);
  });
});
