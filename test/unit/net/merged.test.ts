// A frame over several of the guest's receive buffers (VIRTIO_NET_F_MRG_RXBUF; virtio 1.2, 5.1.6.4).
import { describe, expect, it } from "vitest";
import { NetFeature } from "../../../machine/driver/layout.ts";
import type { VirtioNetDriver } from "../../../machine/driver/virtio-net.ts";
import { ALL_FEATURES, drive, frame, MODELS, offer, settle, start } from "./setup.ts";

const MERGING = { loadOptions: "net.mergeBuffers=on" };
const FEATURES = ALL_FEATURES | NetFeature.MergedBuffers;

describe.each(MODELS.flatMap((model) => [[model, "legacy"] as const, [model, "modern"] as const]))(
  "%s by the %s interface",
  (model, kind) => {
    const machine = start(model, MERGING);
    const driveIt = (): VirtioNetDriver => {
      const driver = drive(machine, model, { features: FEATURES, interface: kind });
      driver.collect = () => [];
      return driver;
    };

    it("spreads a frame", () => {
      const driver = driveIt();
      expect(driver.headerSize).toBe(12);
      const places = offer(driver, Array<number>(40).fill(100));
      machine.nic.wire.inject(frame(1000, 3));
      settle(machine);
      const taken = driver.receiveQueue.takeUsed();
      expect(taken.map(({ length }) => length)).toEqual([...Array<number>(10).fill(100), 12]);
      const bytes = taken.flatMap(({ id, length }) => [...machine.memory.readBytes(places[id]!, length)]);
      expect(bytes.slice(10, 12)).toEqual([11, 0]);
      expect(Uint8Array.from(bytes.slice(12))).toEqual(frame(1000, 3));
    });

    it("keeps a frame that needs more buffers than there are, until there are more", () => {
      const driver = driveIt();
      offer(driver, Array<number>(4).fill(100));
      machine.nic.wire.inject(frame(500, 3));
      settle(machine);
      expect(driver.receiveQueue.deviceIndex).toBe(0);
      offer(driver, Array<number>(4).fill(100));
      settle(machine);
      expect(driver.receiveQueue.takeUsed().map(({ length }) => length)).toEqual([100, 100, 100, 100, 100, 12]);
    });
  },
);

it("is not offered without the setting", () => {
  const machine = start("82574L");
  expect(drive(machine, "82574L", { features: FEATURES }).features).toBe(ALL_FEATURES);
});
