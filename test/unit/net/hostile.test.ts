// What a hostile guest may do to the device: it harms itself only, and a reset brings the device back.
import { describe, expect, it } from "vitest";
import type { CardModel } from "../../../machine/net/make.ts";
import { HOSTILE } from "../../../machine/driver/hostile.ts";
import { Command, Config } from "../../../machine/pci/function.ts";
import { RECEIVE, TRANSMIT, Virtio, type VirtioNetDriver } from "../../../machine/driver/virtio-net.ts";
import { DescriptorFlag } from "../../../machine/driver/virtqueue.ts";
import type { Machine } from "../../../machine/machine.ts";
import { ALL_FEATURES, drive, frame, random, settle, start, VECTORS } from "./setup.ts";

/** One card of each family. */
const FAMILIES = ["82574L", "BCM57766"] as const;
/** Sheer's static data and objects start with the block; what lies there must not change or leave the machine. */
const SECRET = 0x20_0000;

/** A driver that does not look at what is used by itself: it did not offer all of it in an orderly way. */
function driveBlindly(machine: Machine, model: CardModel): VirtioNetDriver {
  const driver = drive(machine, model, { features: ALL_FEATURES });
  blind(machine, driver);
  return driver;
}
function blind(machine: Machine, driver: VirtioNetDriver): void {
  for (const vector of Object.values(VECTORS)) {
    machine.guest.processor.handlers.set(vector, () => machine.guest.write32(0xfee0_00b0, 0));
  }
  driver.onLine = () => {
    driver.isr(); // or the line would stay
    machine.guest.write32(0xfee0_00b0, 0);
  };
}

function exchange(machine: Machine, driver: VirtioNetDriver): void {
  settle(machine); // what the card has received, it tells of only now
  driver.start();
  blind(machine, driver);
  settle(machine);
  machine.nic.wire.take(); // what was with the card at the reset may still have gone out
  driver.offerBuffers(8);
  machine.nic.wire.inject(frame(200, 5));
  driver.send(frame(300, 6));
  settle(machine);
  expect(driver.takeFrames()).toEqual([frame(200, 5)]);
  expect(machine.nic.wire.take()).toEqual([frame(300, 6)]);
}

const PLACES: readonly (readonly [string, (machine: Machine) => number])[] = [
  ["Sheer's block", (machine) => machine.block.base + SECRET],
  ["the card's own registers", () => 0xc000_0000],
  ["the local APIC", () => 0xfee0_0000],
  ["no memory", () => 2 ** 47],
];

const CASES = FAMILIES.flatMap((model) => PLACES.map(([name, place]) => [name, model, place] as const));

describe.each(CASES)("a guest that names %s, with %s,", (_, model, place) => {
  const machine = start(model);
  const driver = driveBlindly(machine, model);
  it.each(Object.entries(HOSTILE))("%s", (_, act) => {
    const inBlock = machine.block.base + SECRET;
    const secret = machine.memory.readBytes(inBlock, 4096);
    driver.start();
    blind(machine, driver);
    act(driver, place(machine));
    machine.nic.wire.inject(frame(1000));
    settle(machine);
    expect(machine.memory.readBytes(inBlock, 4096)).toEqual(secret);
    for (const sent of machine.nic.wire.take()) expect(sent.length).toBeLessThan(1519);
    exchange(machine, driver);
  });
});

describe.each(FAMILIES)("with %s, a guest that breaks the rules", (model) => {
  it("hands over frames before and after one that it may not send", () => {
    const machine = start(model);
    const driver = drive(machine, model);
    driver.send(frame(100, 1));
    driver.send(frame(4000, 2));
    driver.send(frame(100, 3));
    settle(machine);
    expect(machine.nic.wire.take()).toEqual([frame(100, 1), frame(100, 3)]);
    expect(driver.transmitQueue.deviceIndex).toBe(3);
  });

  it.each([
    ["without a checksum", { flags: 0 }],
    ["of no payload", { size: 0 }],
    ["of more payload than a frame holds", { size: 9000 }],
    ["whose TCP header is outside", { start: 0xfff0 }],
    ["whose TCP header is in the Ethernet header", { start: 4 }],
    ["whose checksum is elsewhere", { offset: 200 }],
    ["of an unknown kind", { kind: 3 }],
  ])("drops a segment to be cut %s", (_, { flags = 1, kind = 1, size = 1000, start: from = 34, offset = 16 }: Cut) => {
    const machine = start(model);
    const driver = drive(machine, model, { features: ALL_FEATURES });
    const header = Uint8Array.of(flags, kind, 54, 0, size & 255, size >> 8, from & 255, from >> 8, offset, 0);
    driver.send(frame(5000), { header });
    expect(machine.nic.wire.take()).toEqual([]);
    expect(driver.transmitQueue.deviceIndex).toBe(1);
    exchange(machine, driver);
  });

  it("survives a queue moved while it runs", () => {
    const machine = start(model);
    const driver = drive(machine, model);
    driver.offerBuffers(8);
    for (const queue of [RECEIVE, TRANSMIT]) {
      driver.setRegister(Virtio.QueueSelect, 2, queue);
      driver.setRegister(Virtio.QueueAddress, 4, driver.allocate(3 * 4096, 4096) / 4096);
    }
    machine.nic.wire.inject(frame(100));
    settle(machine);
    expect(driver.receiveQueue.deviceIndex).toBe(0);
    exchange(machine, driver);
  });

  it("counts what it refuses and logs it rarely", () => {
    const machine = start(model, { loadOptions: "log.port=0x3e8" });
    const driver = drive(machine, model);
    for (let i = 0; i < 40; i++) {
      driver.start();
      driver.transmitQueue.setDescriptor(0, { address: 0, length: 0, flags: DescriptorFlag.Next, next: 0 });
      driver.transmitQueue.setAvailable(driver.transmitQueue.availableIndex++, 0);
      driver.kick(TRANSMIT);
    }
    const lines = machine
      .log()
      .split("\n")
      .filter((line) => line.includes("virtio-net: the guest"));
    expect(lines.length).toBeLessThanOrEqual(6);
  });

  it("survives 1500 random actions", () => {
    const machine = start(model);
    const driver = driveBlindly(machine, model);
    const next = random(1);
    const actions = Object.values(HOSTILE);
    for (let i = 0; i < 1500; i++) {
      randomAction(machine, driver, next, actions);
      if (i % 50 === 0) {
        machine.nic.wire.take();
        driver.start();
        blind(machine, driver);
        driver.offerBuffers(20);
      }
    }
    driver.pci.write(Config.Command, 2, 7);
    exchange(machine, driver);
  });
});

interface Cut {
  readonly flags?: number;
  readonly kind?: number;
  readonly size?: number;
  readonly start?: number;
  readonly offset?: number;
}

function randomAction(
  machine: Machine,
  driver: VirtioNetDriver,
  next: (below: number) => number,
  actions: readonly ((driver: VirtioNetDriver, address: number) => void)[],
): void {
  const queue = next(2) ? driver.receiveQueue : driver.transmitQueue;
  const addresses = [machine.block.base + next(1 << 24), 0x40_0000 + next(1 << 20), 2 ** 47, 0xc000_0000, 0xfee0_0300];
  const address = addresses[next(addresses.length)]!;
  const length = next(4) ? next(2000) : next(0x7fff_ffff);
  switch (next(9)) {
    case 0:
      queue.setDescriptor(next(256), { address, length, flags: next(8), next: next(300) });
      break;
    case 1:
      queue.setAvailable(next(256), next(2) ? next(256) : next(65536));
      break;
    case 2:
      queue.setAvailableIndex(next(4) ? queue.deviceIndex + next(5) : next(65536));
      break;
    case 3:
      driver.setRegister(Virtio.QueueNotify, 2, next(4));
      break;
    case 4:
      machine.nic.wire.inject(frame(60 + next(1400), next(100)));
      break;
    case 5:
      machine.clock.advance(next(300_000));
      break;
    case 6:
      driver.setRegister([0, 4, 8, 12, 14, 16, 18, 20, 22][next(9)]!, ([1, 2, 4] as const)[next(3)]!, next(0x1_0000));
      break;
    case 7:
      // Without its registers nobody could end an interrupt at the line.
      driver.pci.write(Config.Command, 2, next(8) | Command.InterruptDisable);
      driver.pci.write(Config.Command, 2, 7);
      break;
    default:
      // An arena of the guest's that grows without end would leave its memory.
      driver.reset();
      driver.start();
      blind(machine, driver);
      actions[next(actions.length)]!(driver, address);
  }
}
