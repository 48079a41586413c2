// A card that somebody else has reset: by its power in S3, or for an error. It is found so and set up anew.
import { describe, expect, it } from "vitest";
import type { VirtioNetDriver } from "../../../machine/driver/virtio-net.ts";
import type { Machine } from "../../../machine/machine.ts";
import { Config } from "../../../machine/pci/function.ts";
import { drive, frame, MODELS, settle, start } from "./setup.ts";

/** Longer than Sheer leaves the card unwatched. */
const HOUSEKEEPING = 3_000_000_000;

function exchange(machine: Machine, driver: VirtioNetDriver, seed: number): void {
  machine.nic.wire.take();
  driver.takeFrames();
  driver.offerBuffers(8);
  machine.nic.wire.inject(frame(200, seed));
  driver.send(frame(300, seed));
  settle(machine);
  driver.transmitQueue.takeUsed();
  expect(driver.takeFrames()).toEqual([frame(200, seed)]);
  expect(machine.nic.wire.take()).toEqual([frame(300, seed)]);
}

describe.each(MODELS)("a %s whose power was gone", (model) => {
  it("serves again once the guest's driver starts anew", () => {
    const machine = start(model, { loadOptions: "log=0x3e8" });
    const driver = drive(machine, model);
    for (let round = 0; round < 3; round++) {
      exchange(machine, driver, round);
      const place = machine.nic.pci.get(Config.Bar0, 4);
      machine.nic.powerCycle();
      expect(machine.nic.pci.get(Config.Bar0, 4)).not.toBe(place);
      driver.start();
      settle(machine);
      expect(machine.nic.pci.get(Config.Bar0, 4)).toBe(place);
    }
    exchange(machine, driver, 9);
    expect(driver.mac()).toEqual(machine.nic.mac);
    expect(driver.linkUp()).toBe(true);
    expect(machine.log()).toMatch(/lost its settings: it is set up anew/);
  });

  it("loses only frames in flight if the guest goes on sending", () => {
    const machine = start(model);
    const driver = drive(machine, model);
    driver.offerBuffers(8);
    machine.nic.powerCycle();
    for (let i = 0; i < 120; i++) driver.send(frame(100, i));
    settle(machine);
    driver.transmitQueue.takeUsed();
    expect(driver.transmitQueue.free).toBe(256);
    expect(machine.nic.wire.take().length).toBeGreaterThan(20);
    exchange(machine, driver, 3);
  });

  it("serves again though the guest only waits for frames", () => {
    const machine = start(model, { loadOptions: "log=0x3e8" });
    const driver = drive(machine, model);
    driver.offerBuffers(16);
    machine.nic.powerCycle();
    machine.nic.wire.inject(frame(200, 1));
    settle(machine);
    expect(driver.takeFrames()).toEqual([]);
    machine.clock.advance(HOUSEKEEPING);
    machine.guest.in(0xcfc, 4); // an exit
    settle(machine); // the link has come up
    machine.nic.wire.inject(frame(200, 2));
    settle(machine);
    expect(driver.takeFrames()).toEqual([frame(200, 2)]);
    expect(machine.log()).toMatch(/lost its settings: it is set up anew/);
  });

  it("is asked no more when it does not come back", () => {
    const machine = start(model, { loadOptions: "log=0x3e8" });
    drive(machine, model);
    machine.nic.powerCycle();
    machine.nic.pci.writable.fill(0);
    for (let second = 0; second < 5; second++) {
      machine.clock.advance(HOUSEKEEPING);
      machine.guest.in(0xcfc, 4);
    }
    expect(machine.log().match(/lost its settings and does not answer/g)).toHaveLength(1);
  });

  it("does not hold up the guest while it is gone", () => {
    const machine = start(model);
    const driver = drive(machine, model);
    machine.nic.powerCycle();
    machine.nic.pci.writable.fill(0); // it does not come back to the bus either
    const before = machine.clock.now;
    for (let i = 0; i < 20; i++) driver.start();
    expect((machine.clock.now - before) / 20).toBeLessThan(1_000_000);
  });
});
