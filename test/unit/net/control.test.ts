// The control queue (Virtual I/O Device 1.2, 5.1.6.5): what the guest wants to receive.
import { describe, expect, it } from "vitest";
import { CONTROL, NetFeature } from "../../../machine/driver/layout.ts";
import type { VirtioNetDriver } from "../../../machine/driver/virtio-net.ts";
import { ALL_FEATURES, drive, frame, settle, start } from "./setup.ts";

const MODEL = "82574L";
const OK = 0;
const ERROR = 1;
const PROMISCUOUS = [0, 0];
const ALL_MULTICAST = [0, 1];
const MAC_TABLE = [1, 0];
const MAC_ADDRESS = [1, 1];

const OTHER = [2, 0, 0, 0, 0, 9];
const GROUP = [1, 0, 0x5e, 0, 0, 1];
const BROADCAST = [255, 255, 255, 255, 255, 255];

const machine = start(MODEL);
const driveIt = (features = ALL_FEATURES): VirtioNetDriver => {
  const driver = drive(machine, MODEL, { features, interface: "modern" });
  driver.offerBuffers(64);
  return driver;
};

/** Sends a command in pieces of these lengths; returns what is written in the byte for its acknowledgement. */
function command(driver: VirtioNetDriver, bytes: readonly number[], cuts: readonly number[] = []): number {
  const { memory } = driver.guest.processor;
  const queue = driver.controlQueue!;
  const at = driver.allocate(bytes.length + 1);
  memory.writeBytes(at, Uint8Array.from([...bytes, 0xee]));
  const lengths = [...cuts, bytes.length - cuts.reduce((sum, cut) => sum + cut, 0)];
  let place = at;
  const pieces = lengths.map((length) => ({ address: (place += length) - length, length, writable: false }));
  queue.add([...pieces, { address: place, length: 1, writable: true }]);
  if (queue.publish()) driver.transport.notify(CONTROL);
  expect(queue.takeUsed()).toMatchObject([{ length: 1 }]);
  return memory.read8(place);
}

function table(...addresses: number[][]): number[] {
  return [addresses.length & 255, addresses.length >> 8, 0, 0, ...addresses.flat()];
}

/** Of frames to these addresses, those that come to the guest. */
function received(driver: VirtioNetDriver, addresses: readonly number[][]): number[][] {
  driver.takeFrames();
  for (const address of addresses) {
    const sent = frame(100);
    sent.set(address);
    machine.nic.wire.inject(sent);
  }
  settle(machine);
  return driver.takeFrames().map((each) => [...each.slice(0, 6)]);
}

describe("the control queue", () => {
  const own = [...machine.nic.mac];
  const all = [own, OTHER, GROUP, BROADCAST];

  it("has everything come through until the driver says otherwise", () => {
    expect(received(driveIt(), all)).toEqual(all);
  });

  it("filters by the guest's address, the tables and the two switches", () => {
    const driver = driveIt();
    expect(command(driver, [...PROMISCUOUS, 0])).toBe(OK);
    expect(received(driver, all)).toEqual([own, BROADCAST]);
    expect(command(driver, [...ALL_MULTICAST, 1])).toBe(OK);
    expect(received(driver, all)).toEqual([own, GROUP, BROADCAST]);
    expect(command(driver, [...ALL_MULTICAST, 0])).toBe(OK);
    expect(command(driver, [...MAC_TABLE, ...table(OTHER), ...table(GROUP)], [1, 1, 2, 7])).toBe(OK);
    expect(received(driver, all)).toEqual(all);
    expect(command(driver, [...MAC_TABLE, ...table(), ...table()])).toBe(OK);
    expect(received(driver, all)).toEqual([own, BROADCAST]);
    expect(command(driver, [...PROMISCUOUS, 1])).toBe(OK);
    expect(received(driver, all)).toEqual(all);
  });

  it("takes a table that is too long for all there are", () => {
    const driver = driveIt();
    command(driver, [...PROMISCUOUS, 0]);
    const many = Array.from({ length: 100 }, (_, i) => [2, 1, 1, 1, 1, i]);
    expect(command(driver, [...MAC_TABLE, ...table(...many), ...table(GROUP)])).toBe(OK);
    expect(received(driver, all)).toEqual(all);
    expect(received(driver, [[1, 0, 0, 0, 0, 0]])).toEqual([]);
  });

  it("gives the device another address, until a reset", () => {
    const driver = driveIt();
    command(driver, [...PROMISCUOUS, 0]);
    expect(command(driver, [...MAC_ADDRESS, ...OTHER])).toBe(OK);
    expect(driver.mac()).toEqual(OTHER);
    expect(received(driver, all)).toEqual([OTHER, BROADCAST]);
    driver.start();
    expect(driver.mac()).toEqual(own);
  });

  it("does not lose the buffer of a frame that it keeps from the guest", () => {
    const driver = driveIt();
    command(driver, [...PROMISCUOUS, 0]);
    for (let i = 0; i < 300; i++) expect(received(driver, [OTHER])).toEqual([]);
    expect(received(driver, [own])).toEqual([own]);
  });

  it.each([
    ["is unknown", [0, 9, 0]],
    ["is of an unknown class", [7, 0, 0]],
    ["is cut short", [...PROMISCUOUS]],
    ["has a part of a command only", [0]],
    ["has a table cut short", [...MAC_TABLE, 2, 0, 0, 0, ...OTHER]],
    ["has a table of 4 G entries", [...MAC_TABLE, 255, 255, 255, 255, ...OTHER]],
    ["has an address cut short", [...MAC_ADDRESS, 1, 2, 3]],
  ])("refuses what %s", (_, bytes) => {
    expect(command(driveIt(), bytes)).toBe(ERROR);
  });

  it("refuses what was not agreed on", () => {
    const driver = driveIt(NetFeature.ControlQueue);
    expect(command(driver, [...PROMISCUOUS, 0])).toBe(ERROR);
    expect(command(driver, [...MAC_ADDRESS, ...OTHER])).toBe(ERROR);
  });
});
