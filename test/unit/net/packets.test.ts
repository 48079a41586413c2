// Packets both ways through the card behind and the device in front.
import { beforeEach, describe, expect, it } from "vitest";
import { NetFeature, RECEIVE, TRANSMIT, Virtio, VirtioNetDriver } from "../../../machine/driver/virtio-net.ts";
import { checksum, segment, tcpPacket } from "./packets.ts";
import { ALL_FEATURES, drive, frame, hasMessages, INTEL_MODELS, MODELS, settle, start } from "./setup.ts";

const HEADER = 10;

describe.each(MODELS)("%s", (model) => {
  const machine = start(model);
  beforeEach(() => {
    machine.nic.setCable(true);
    settle(machine);
    machine.nic.wire.take();
  });

  it("shows the card's MAC address and link", () => {
    const driver = drive(machine, model);
    expect(driver.mac()).toEqual(machine.nic.mac);
    expect(driver.linkUp()).toBe(true);
  });

  it("sends frames as they are, in order, and returns their buffers", () => {
    const driver = drive(machine, model);
    const frames = [60, 61, 590, 1513, 1514, 1518].map((length, i) => frame(length, i));
    for (const each of frames) driver.send(each);
    settle(machine);
    expect(machine.nic.wire.take()).toEqual(frames);
    driver.transmitQueue.takeUsed();
    expect(driver.transmitQueue.free).toBe(256);
  });

  it.each([
    ["in many pieces", { cuts: [1, 13, 2, 100, 3] }],
    ["with the header before it in one piece", { joined: true }],
    ["through an indirect table", { indirect: true, cuts: [14, 40] }],
  ])("sends a frame %s", (_, options) => {
    const driver = drive(machine, model, { features: ALL_FEATURES });
    driver.send(frame(700), options);
    expect(machine.nic.wire.take()).toEqual([frame(700)]);
  });

  it("sends far more frames than its rings hold", () => {
    const driver = drive(machine, model, { features: ALL_FEATURES });
    for (let i = 0; i < 400; i++) {
      driver.send(frame(64 + (i % 100), i), { cuts: [14, 20] });
      driver.transmitQueue.takeUsed();
      expect(machine.nic.wire.take()).toEqual([frame(64 + (i % 100), i)]);
    }
  });

  it("receives frames as they are, in order, with an interrupt", () => {
    const driver = drive(machine, model);
    driver.offerBuffers(64);
    const frames = [60, 61, 590, 1513, 1514].map((length, i) => frame(length, i));
    for (const each of frames) expect(machine.nic.wire.inject(each)).toBe(true);
    settle(machine);
    expect(driver.frames).toEqual(frames);
    expect(driver.headers.every((header) => header.every((byte) => byte === 0))).toBe(true);
    expect(driver.interrupts.receive + driver.interrupts.line).toBeGreaterThan(0);
  });

  it("keeps VLAN tags", () => {
    const driver = drive(machine, model);
    driver.offerBuffers(4);
    const tagged = frame(1518);
    tagged.set([0x81, 0x00, 0x20, 0x05, 0x08, 0x00], 12);
    machine.nic.wire.inject(tagged);
    driver.send(tagged);
    settle(machine);
    expect(driver.takeFrames()).toEqual([tagged]);
    expect(machine.nic.wire.take()).toEqual([tagged]);
  });

  it("receives far more frames than its rings hold", () => {
    const driver = drive(machine, model, { features: ALL_FEATURES });
    driver.offerBuffers(100);
    for (let i = 0; i < 300; i++) {
      machine.nic.wire.inject(frame(60 + (i % 1400), i));
      settle(machine, 1);
      expect(driver.takeFrames()).toEqual([frame(60 + (i % 1400), i)]);
    }
  });

  it("keeps frames while the guest has no buffers, without interrupts, and hands them on at the next notification", () => {
    const driver = drive(machine, model);
    driver.collect = () => []; // interrupts are handled, but no buffer is given back
    driver.offerBuffers(2, 1000); // which are too short for the card to have them
    for (let i = 0; i < 5; i++) machine.nic.wire.inject(frame(100, i));
    settle(machine);
    expect(driver.receiveQueue.deviceIndex).toBe(2);
    const before = machine.nic.interruptCount;
    for (let i = 5; i < 8; i++) {
      machine.nic.wire.inject(frame(100, i));
      settle(machine);
    }
    expect(machine.nic.interruptCount).toBe(before);
    driver.offerBuffers(20);
    expect(driver.receiveQueue.deviceIndex).toBe(8);
    expect(VirtioNetDriver.prototype.collect.call(driver)).toEqual(Array.from({ length: 8 }, (_, i) => frame(100, i)));
  });

  it("drops a frame that the guest's buffer is too small for, and goes on with the same buffer", () => {
    const driver = drive(machine, model);
    driver.offerBuffers(1, 200);
    machine.nic.wire.inject(frame(201));
    machine.nic.wire.inject(frame(200));
    settle(machine);
    expect(driver.frames).toEqual([frame(200)]);
  });

  it("puts a frame into a chain of small pieces", () => {
    const driver = drive(machine, model);
    const base = driver.allocate(600);
    const pieces = [3, 4, 5, 6, 500].map((length, i) => ({ address: base + 100 * i, length, writable: true }));
    driver.receiveQueue.add(pieces);
    driver.kick(RECEIVE);
    machine.nic.wire.inject(frame(200));
    settle(machine);
    const { memory } = machine.guest.processor;
    const bytes = pieces.flatMap(({ address, length }) => [...memory.readBytes(address, length)]);
    expect(bytes.slice(HEADER, HEADER + 200)).toEqual([...frame(200)]);
    expect(driver.receiveQueue.deviceIndex).toBe(1);
  });

  it("follows the link", () => {
    const driver = drive(machine, model);
    machine.nic.setCable(false);
    settle(machine);
    expect(driver.linkUp()).toBe(false);
    machine.nic.setCable(true);
    settle(machine);
    expect(driver.linkUp()).toBe(true);
    if (hasMessages(model)) expect(driver.interrupts.config).toBe(2);
  });

  it("fills in the checksum that the guest leaves to it", () => {
    const driver = drive(machine, model, { features: ALL_FEATURES });
    const packet = tcpPacket({ payload: 321 });
    driver.send(packet.frame, { header: packet.header({ checksum: true }), cuts: [54] });
    const [sent] = machine.nic.wire.take();
    expect(checksum(sent!)).toEqual({ ip: true, tcp: true });
    expect(sent!.slice(54)).toEqual(packet.frame.slice(54));
  });

  it.each([4, 6] as const)("cuts a large TCP segment over IPv%i into frames", (version) => {
    if (version === 6 && model === "82540EM") return; // which cuts IPv4 only
    const driver = drive(machine, model, { features: ALL_FEATURES });
    const packet = tcpPacket({ version, payload: 20_000, options: 12 });
    const header = packet.header({ checksum: true, segmentSize: 1400 });
    driver.send(packet.frame, { header, joined: true, cuts: [30, 9000], indirect: true });
    const sent = machine.nic.wire.take();
    expect(sent).toHaveLength(15);
    expect(sent.every((each) => checksum(each).ip && checksum(each).tcp)).toBe(true);
    expect(segment(sent)).toEqual([...packet.payload]);
    settle(machine);
    driver.transmitQueue.takeUsed();
    expect(driver.transmitQueue.free).toBe(256);
  });

  it("gives the guest's own memory back unchanged after cutting", () => {
    const driver = drive(machine, model, { features: ALL_FEATURES });
    const packet = tcpPacket({ payload: 5000 });
    driver.send(packet.frame, { header: packet.header({ checksum: true, segmentSize: 1000 }) });
    const { memory } = machine.guest.processor;
    const at = driver.transmitQueue.base + 16;
    const address = Number(memory.read64(at));
    expect(memory.readBytes(address, packet.frame.length)).toEqual(packet.frame);
  });

  it("tells the guest of checksums that the card has found right", () => {
    const driver = drive(machine, model, { features: ALL_FEATURES });
    driver.offerBuffers(4);
    const good = tcpPacket({ payload: 100, complete: true }).frame;
    const bad = Uint8Array.from(good);
    bad[80]! ^= 1;
    machine.nic.wire.inject(good);
    machine.nic.wire.inject(bad);
    settle(machine);
    expect(driver.headers.map((header) => header[0])).toEqual([2, 0]);
  });

  it("interrupts for frames sent only if the guest wants that", () => {
    const driver = drive(machine, model);
    driver.transmitQueue.wantInterrupts(false);
    for (let i = 0; i < 10; i++) driver.send(frame(100, i));
    settle(machine);
    expect(driver.interrupts.transmit).toBe(0);
    driver.transmitQueue.takeUsed();
    driver.transmitQueue.wantInterrupts(true);
    driver.send(frame(100));
    settle(machine);
    expect(driver.interrupts.transmit + driver.interrupts.line).toBeGreaterThan(0);
    expect(driver.transmitQueue.deviceIndex).toBe(11);
  });

  it("calls a guest that did not look after its frames sent, when it was only called for one received", () => {
    const driver = drive(machine, model, { features: ALL_FEATURES });
    driver.offerBuffers(4);
    driver.receiveQueue.setUsedEvent(0);
    // After 31 frames that nobody waits for, the card tells of the next at once: one interrupt then has both causes.
    driver.transmitQueue.setUsedEvent(1000);
    for (let i = 0; i < 31; i++) driver.send(frame(100, i));
    settle(machine);
    driver.transmitQueue.setUsedEvent(31);
    machine.guest.cli();
    driver.send(frame(100));
    machine.nic.wire.inject(frame(100));
    machine.guest.enableInterrupts();
    settle(machine);
    expect(driver.interrupts.receive + driver.interrupts.line).toBeGreaterThan(0);
    expect(driver.interrupts.transmit + driver.interrupts.line).toBeGreaterThan(0);
  });

  it("calls the guest even for a frame that cannot be sent", () => {
    const driver = drive(machine, model);
    driver.send(frame(3000));
    settle(machine);
    expect(machine.nic.wire.take()).toEqual([]);
    expect(driver.transmitQueue.deviceIndex).toBe(1);
    expect(driver.interrupts.transmit + driver.interrupts.line).toBe(1);
  });

  it("stops for a reset and starts again", () => {
    const driver = drive(machine, model);
    driver.offerBuffers(8);
    for (let round = 0; round < 3; round++) {
      driver.reset();
      machine.nic.wire.inject(frame(100, 99));
      settle(machine);
      driver.start();
      settle(machine);
      driver.offerBuffers(8);
      machine.nic.wire.inject(frame(100, round));
      driver.send(frame(100, round));
      settle(machine);
      expect(driver.takeFrames()).toEqual([frame(100, round)]);
      expect(machine.nic.wire.take()).toEqual([frame(100, round)]);
    }
  });

  it("touches no memory while the guest has bus mastering off", () => {
    const driver = drive(machine, model);
    driver.offerBuffers(8);
    driver.pci.write(4, 2, 3);
    machine.nic.wire.inject(frame(100));
    driver.send(frame(100));
    driver.setRegister(Virtio.QueueNotify, 2, TRANSMIT);
    settle(machine);
    expect(machine.nic.wire.take()).toEqual([]);
    expect(driver.receiveQueue.deviceIndex).toBe(0);
    driver.pci.write(4, 2, 7);
    settle(machine);
    expect(machine.nic.wire.take()).toEqual([frame(100)]);
  });

  it("offers what the card can do", () => {
    const driver = drive(machine, model, { features: ALL_FEATURES });
    const without = model === "82540EM" ? NetFeature.HostTso6 : 0;
    expect(driver.features).toBe(ALL_FEATURES & ~without);
  });
});

// Cards whose frames are done as soon as they are sent, so that nothing else calls the guest.
describe.each(INTEL_MODELS)("%s", (model) => {
  const machine = start(model);
  it("interrupts past the guest's event index", () => {
    const driver = drive(machine, model, { features: ALL_FEATURES });
    driver.transmitQueue.setUsedEvent(4);
    for (let i = 0; i < 4; i++) driver.send(frame(100, i));
    settle(machine);
    expect(driver.interrupts.transmit + driver.interrupts.line).toBe(0);
    driver.send(frame(100));
    settle(machine);
    expect(driver.interrupts.transmit + driver.interrupts.line).toBe(1);
  });
});
