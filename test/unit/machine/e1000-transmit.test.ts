import { describe, expect, test } from "vitest";
import { crc32, sum } from "../../../machine/net/frames.ts";
import { Icr, Reg } from "../../../machine/e1000/registers.ts";
import { frameTo, Nic } from "./nic.ts";

const EOP_IFCS = 0x03;
const RS = 0x08;
const DEXT = 0x20;
const PEER = [2, 0, 0, 0, 0, 2];
const DATA = 0x30_0000;

/** Words of context and data descriptors (8254x manual, tables 3-14 and 3-17). */
function context(fields: {
  start: number;
  offset: number;
  mss?: number;
  header?: number;
  payload?: number;
  ip?: number;
}): [bigint, bigint] {
  const { start, offset, mss = 0, header = 0, payload = 0, ip = 14 } = fields;
  const low =
    BigInt(ip) | (BigInt(ip + 10) << 8n) | (BigInt(ip + 19) << 16n) | (BigInt(start) << 32n) | (BigInt(offset) << 40n);
  const command = 0x27n;
  return [low, BigInt(payload) | (command << 24n) | (BigInt(header) << 40n) | (BigInt(mss) << 48n)];
}
function data(length: number, command: number, options: number): bigint {
  return BigInt(length) | (1n << 20n) | (BigInt(command) << 24n) | (BigInt(options) << 40n);
}

describe.each(["82540EM", "82574L"] as const)("%s", (model) => {
  test("sends a frame and reports it done", () => {
    const nic = new Nic(model);
    const frame = frameTo(PEER, 100);
    nic.memory.writeBytes(DATA, frame);
    const index = nic.legacy(DATA, 100, EOP_IFCS | RS);
    nic.transmit();
    expect(nic.sent()).toEqual([frame]);
    expect(nic.memory.read8(nic.txRing + 16 * index + 12) & 1).toBe(1);
    expect(nic.read(Reg.TDH)).toBe(1);
    expect(nic.read(Reg.ICR) & (Icr.Txdw | Icr.Txqe)).toBe(Icr.Txdw | Icr.Txqe);
  });

  test("gathers a frame from several descriptors, over the end of the ring", () => {
    const nic = new Nic(model);
    const frame = frameTo(PEER, 90);
    nic.memory.writeBytes(DATA, frame);
    for (let i = 0; i < 6; i++) nic.legacy(DATA, 90, EOP_IFCS);
    nic.transmit();
    nic.sent();
    nic.legacy(DATA, 14, 0);
    nic.legacy(DATA + 14, 6, 0);
    nic.legacy(DATA + 20, 70, EOP_IFCS);
    nic.transmit();
    expect(nic.sent()).toEqual([frame]);
    expect(nic.read(Reg.TDH)).toBe(1);
  });
});

test("a descriptor without RS is not written back", () => {
  const nic = new Nic();
  nic.legacy(DATA, 64, EOP_IFCS);
  nic.transmit();
  expect(nic.memory.read8(nic.txRing + 12)).toBe(0);
  expect(nic.read(Reg.ICR) & Icr.Txdw).toBe(0);
});

test("short frames are padded with zeros if TCTL.PSP is set", () => {
  const nic = new Nic();
  nic.memory.writeBytes(DATA, frameTo(PEER, 20));
  nic.legacy(DATA, 20, EOP_IFCS);
  nic.transmit();
  nic.write(Reg.TCTL, 2);
  nic.legacy(DATA, 20, EOP_IFCS);
  nic.transmit();
  expect(nic.sent().map((frame) => frame.length)).toEqual([60, 20]);
});

test("without IFCS the frame brings its own FCS", () => {
  const nic = new Nic();
  const frame = frameTo(PEER, 64);
  nic.memory.writeBytes(DATA, frame);
  nic.memory.write32(DATA + 64, crc32(frame));
  nic.legacy(DATA, 68, 0x01);
  nic.transmit();
  expect(nic.sent()).toEqual([frame]);
});

test("a legacy descriptor inserts one checksum", () => {
  const nic = new Nic();
  const frame = frameTo(PEER, 64);
  frame.set([0, 0], 20);
  nic.memory.writeBytes(DATA, frame);
  nic.legacy(DATA, 64, EOP_IFCS | 0x04, { css: 14, cso: 20 });
  nic.transmit();
  const [sent] = nic.sent();
  expect(sum(sent!, 14)).toBe(0xffff);
});

test("VLE inserts a tag", () => {
  const nic = new Nic();
  nic.memory.writeBytes(DATA, frameTo(PEER, 64));
  nic.legacy(DATA, 64, EOP_IFCS | 0x40, { special: 0x2007 });
  nic.transmit();
  const [sent] = nic.sent();
  expect(sent!.length).toBe(68);
  expect([...sent!.slice(12, 18)]).toEqual([0x81, 0x00, 0x20, 0x07, 0x88, 0xb5]);
});

/** Ethernet, IPv4 and TCP headers whose TCP checksum field holds the pseudo header's sum as drivers leave it. */
function tcpHeaders(payload: number, withLength: boolean): Uint8Array {
  const total = 40 + payload;
  const ip = [0x45, 0, total >> 8, total & 0xff, 0x12, 0x34, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
  const tcp = [0x10, 0x00, 0, 80, 0, 0, 0x10, 0, 0, 0, 0, 1, 0x50, 0x19, 0xff, 0xff, 0, 0, 0, 0];
  const pseudo = sum(Uint8Array.from(ip), 12, 20, 6 + (withLength ? 20 + payload : 0));
  tcp[16] = pseudo >> 8;
  tcp[17] = pseudo & 0xff;
  return Uint8Array.of(...frameTo(PEER, 14, 0x0800), ...ip, ...tcp);
}
function tcpIsRight(frame: Uint8Array): boolean {
  return sum(frame, 26, frame.length, 6 + frame.length - 34) === 0xffff;
}

test("data descriptors insert the checksums their context describes", () => {
  const nic = new Nic();
  const frame = Uint8Array.of(...tcpHeaders(10, true), ...Array.from({ length: 10 }, (_, i) => i));
  nic.memory.writeBytes(DATA, frame);
  nic.descriptor(...context({ start: 34, offset: 50 }));
  nic.descriptor(BigInt(DATA), data(frame.length, EOP_IFCS | DEXT, 3));
  nic.transmit();
  const [sent] = nic.sent();
  expect(sum(sent!, 14, 34)).toBe(0xffff);
  expect(tcpIsRight(sent!)).toBe(true);
});

test("TCP segmentation: lengths, identification, sequence, flags and checksums of each segment", () => {
  const nic = new Nic();
  const payload = Uint8Array.from({ length: 2500 }, (_, i) => (i * 3) & 0xff);
  nic.memory.writeBytes(DATA, tcpHeaders(2500, false));
  nic.memory.writeBytes(DATA + 0x1000, payload);
  nic.descriptor(...context({ start: 34, offset: 50, mss: 1000, header: 54, payload: 2500 }));
  nic.descriptor(BigInt(DATA), data(54, DEXT | 0x04, 3));
  nic.descriptor(BigInt(DATA + 0x1000), data(2500, EOP_IFCS | DEXT | 0x04, 3));
  nic.transmit();
  const sent = nic.sent();
  const word = (frame: Uint8Array, at: number): number => (frame[at]! << 8) | frame[at + 1]!;
  expect(sent.map((frame) => word(frame, 16))).toEqual([1040, 1040, 540]);
  expect(sent.map((frame) => word(frame, 18))).toEqual([0x1234, 0x1235, 0x1236]);
  expect(sent.map((frame) => word(frame, 40))).toEqual([0x1000, 0x1000 + 1000, 0x1000 + 2000]);
  expect(sent.map((frame) => frame[47])).toEqual([0x10, 0x10, 0x19]);
  expect(sent.every((frame) => sum(frame, 14, 34) === 0xffff && tcpIsRight(frame))).toBe(true);
  expect(Uint8Array.of(...sent.flatMap((frame) => [...frame.slice(54)]))).toEqual(payload);
});

test("a tail beyond the ring does not make the card run for ever", () => {
  const nic = new Nic();
  nic.write(Reg.TDT, 0xffff);
  expect(nic.read(Reg.TDH)).toBeLessThan(8);
});

test("nothing is sent while TCTL.EN is clear, and all of it afterwards", () => {
  const nic = new Nic();
  nic.write(Reg.TCTL, 0);
  nic.legacy(DATA, 64, EOP_IFCS);
  nic.transmit();
  expect(nic.sent()).toEqual([]);
  nic.write(Reg.TCTL, 2);
  expect(nic.sent().length).toBe(1);
});

test("IDE puts the interrupt off by TIDV", () => {
  const nic = new Nic();
  nic.write(Reg.TIDV, 20);
  nic.legacy(DATA, 64, EOP_IFCS | RS | 0x80);
  nic.transmit();
  expect(nic.card.interrupts.causes & Icr.Txdw).toBe(0);
  nic.machine.clock.advance(20 * 1024);
  expect(nic.card.interrupts.causes & Icr.Txdw).toBe(Icr.Txdw);
});
