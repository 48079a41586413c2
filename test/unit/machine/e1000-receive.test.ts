import { describe, expect, test } from "vitest";
import { Icr, Reg } from "../../../machine/e1000/registers.ts";
import { crc32 } from "../../../machine/net/frames.ts";
import { DESCRIPTORS, frameTo, Nic } from "./nic.ts";

const MODELS = ["82540EM", "82574L"] as const;
const RCTL = 0x0400_8002;
const BROADCAST = [255, 255, 255, 255, 255, 255];
const STRANGER = [2, 9, 9, 9, 9, 9];
const MDNS = [0x01, 0x00, 0x5e, 0x00, 0x00, 0xfb];

describe.each(MODELS)("%s", (model) => {
  test("puts a frame into memory and writes its descriptor back", () => {
    const nic = new Nic(model);
    const frame = frameTo(nic.card.mac, 100);
    expect(nic.card.wire.inject(frame)).toBe(true);
    expect(nic.memory.readBytes(nic.buffer(0), 100)).toEqual(frame);
    expect(nic.received(0)).toMatchObject({ length: 100, status: 0x07, errors: 0 });
    expect(nic.read(Reg.RDH)).toBe(1);
    expect(nic.read(Reg.ICR) & Icr.Rxt0).toBe(Icr.Rxt0);
  });

  test("keeps the frame check sequence without SECRC", () => {
    const nic = new Nic(model, 0x8002);
    const frame = frameTo(nic.card.mac, 64);
    nic.card.wire.inject(frame);
    expect(nic.received(0).length).toBe(68);
    expect(nic.memory.read32(nic.buffer(0) + 64)).toBe(crc32(frame));
  });

  test("spreads a frame over several buffers; only the last has EOP", () => {
    const nic = new Nic(model, RCTL | 0x3_0000);
    const frame = frameTo(nic.card.mac, 600);
    nic.card.wire.inject(frame);
    expect([0, 1, 2].map((i) => nic.received(i).length)).toEqual([256, 256, 88]);
    expect([0, 1, 2].map((i) => nic.received(i).status & 3)).toEqual([1, 1, 3]);
    expect(nic.memory.readBytes(nic.buffer(2), 88)).toEqual(frame.slice(512));
  });

  test("stops at the tail, counts what it missed, and goes on when it moves", () => {
    const nic = new Nic(model);
    const frame = frameTo(nic.card.mac, 64);
    const taken = Array.from({ length: DESCRIPTORS }, () => nic.card.wire.inject(frame));
    expect(taken).toEqual([...Array.from({ length: DESCRIPTORS - 1 }, () => true), false]);
    expect(nic.read(Reg.ICR) & Icr.Rxo).toBe(Icr.Rxo);
    expect(nic.read(0x4010)).toBe(1);
    expect(nic.read(0x4010)).toBe(0);
    nic.write(Reg.RDT, 2);
    expect(nic.card.wire.inject(frame)).toBe(true);
    expect(nic.read(Reg.RDH)).toBe(0);
  });

  test("takes nothing while receiving is off or the link is down", () => {
    const nic = new Nic(model);
    const frame = frameTo(nic.card.mac, 64);
    nic.card.setCable(false);
    expect(nic.card.wire.inject(frame)).toBe(false);
    nic.card.setCable(true);
    nic.write(Reg.RCTL, RCTL & ~2);
    expect(nic.card.wire.inject(frame)).toBe(false);
  });
});

describe("filters", () => {
  test.each([
    ["its own address", RCTL, undefined, true],
    ["another's address", RCTL, STRANGER, false],
    ["another's address, promiscuous", RCTL | 0x08, STRANGER, true],
    ["broadcast", RCTL, BROADCAST, true],
    ["broadcast, not asked for", RCTL & ~0x8000, BROADCAST, false],
    ["multicast", RCTL, MDNS, false],
    ["multicast, promiscuous", RCTL | 0x10, MDNS, true],
  ])("%s", (_name, rctl, address, taken) => {
    const nic = new Nic("82574L", rctl);
    expect(nic.card.wire.inject(frameTo(address ?? nic.card.mac, 64))).toBe(taken);
  });

  test("the multicast table holds bits 47:36 of an address with MO 0", () => {
    const nic = new Nic();
    nic.write(Reg.MTA + 4 * (0xfb0 >> 5), 1 << (0xfb0 & 31));
    expect(nic.card.wire.inject(frameTo(MDNS, 64))).toBe(true);
    expect(nic.card.wire.inject(frameTo([1, 0, 0x5e, 0, 0, 0xfc], 64))).toBe(false);
  });

  test("a second receive address", () => {
    const nic = new Nic();
    nic.write(Reg.RAL0 + 8, 0x0909_0902);
    nic.write(Reg.RAH0 + 8, 0x8000_0909);
    expect(nic.card.wire.inject(frameTo(STRANGER, 64))).toBe(true);
  });
});

describe("lengths", () => {
  test("beyond 1518 bytes with FCS need LPE", () => {
    const nic = new Nic();
    expect(nic.card.wire.inject(frameTo(nic.card.mac, 1514))).toBe(true);
    expect(nic.card.wire.inject(frameTo(nic.card.mac, 1515))).toBe(false);
    nic.write(Reg.RCTL, RCTL | 0x20);
    expect(nic.card.wire.inject(frameTo(nic.card.mac, 9000))).toBe(true);
    expect(nic.read(Reg.RDH)).toBe(1 + Math.ceil(9000 / 2048));
  });

  test("below 60 bytes are runts", () => {
    const nic = new Nic();
    expect(nic.card.wire.injectRaw(frameTo(nic.card.mac, 59))).toBe(false);
    expect(nic.read(0x40a4)).toBe(1);
  });
});

describe("checksums", () => {
  /** IPv4 and UDP, 4 bytes of payload; header checksum by hand from RFC 1071. */
  const packet = [
    ...[0x45, 0, 0, 0x20, 0, 0, 0x40, 0, 0x40, 0x11, 0xb8, 0xb4, 192, 168, 0, 1, 192, 168, 0, 199],
    ...[0, 1, 0, 2, 0, 12, 0, 0, 0xde, 0xad, 0xbe, 0xef],
  ];
  const withPacket = (mac: readonly number[], change: (bytes: number[]) => void): Uint8Array => {
    const bytes = [...packet];
    change(bytes);
    return Uint8Array.of(...frameTo(mac, 14, 0x0800), ...bytes);
  };

  test("are told to be right or wrong, when asked", () => {
    const nic = new Nic();
    nic.write(Reg.RXCSUM, 0x300);
    nic.card.wire.inject(withPacket(nic.card.mac, () => undefined));
    nic.card.wire.inject(withPacket(nic.card.mac, (bytes) => (bytes[11]! ^= 1)));
    nic.card.wire.inject(withPacket(nic.card.mac, (bytes) => bytes.splice(26, 2, 0x12, 0x34)));
    expect([0, 1, 2].map((i) => nic.received(i).status)).toEqual([0x43, 0x43, 0x63]);
    expect([0, 1, 2].map((i) => nic.received(i).errors)).toEqual([0, 0x40, 0x20]);
  });

  test("are left alone otherwise", () => {
    const nic = new Nic();
    nic.card.wire.inject(withPacket(nic.card.mac, (bytes) => (bytes[11]! ^= 1)));
    expect(nic.received(0)).toMatchObject({ status: 0x07, errors: 0 });
  });
});

test("a VLAN tag is taken out if CTRL.VME is set", () => {
  const nic = new Nic();
  nic.write(Reg.CTRL, 0x4000_0040);
  const frame = frameTo(nic.card.mac, 100, 0x8100);
  frame.set([0x20, 0x07, 0x88, 0xb5], 14);
  nic.card.wire.inject(frame);
  expect(nic.received(0)).toMatchObject({ length: 96, special: 0x2007 });
  expect(nic.received(0).status & 8).toBe(8);
  expect(nic.memory.readBytes(nic.buffer(0) + 12, 2)).toEqual(Uint8Array.of(0x88, 0xb5));
});

test("extended descriptors are written in their own format", () => {
  const nic = new Nic();
  nic.write(Reg.RFCTL, 0x8000);
  nic.card.wire.inject(frameTo(nic.card.mac, 80));
  expect(nic.memory.read32(nic.rxRing + 8) & 3).toBe(3);
  expect(nic.memory.read16(nic.rxRing + 12)).toBe(80);
});

test("RDTR puts the interrupt off until the wire is quiet, RADV no further than its time", () => {
  const nic = new Nic();
  nic.write(Reg.RDTR, 10);
  nic.write(Reg.RADV, 25);
  for (let i = 0; i < 4; i++) {
    nic.card.wire.inject(frameTo(nic.card.mac, 64));
    expect(nic.card.interrupts.causes & Icr.Rxt0).toBe(0);
    nic.machine.clock.advance(8 * 1024);
  }
  expect(nic.card.interrupts.causes & Icr.Rxt0).toBe(Icr.Rxt0);
});

describe("a faulty card", () => {
  test("writes a wild length back", () => {
    const nic = new Nic();
    nic.card.faults.receiveLength = 0xffff;
    nic.card.wire.inject(frameTo(nic.card.mac, 64));
    expect(nic.received(0).length).toBe(0xffff);
  });

  test("gives the FCS a descriptor of its own", () => {
    const nic = new Nic("82574L", 0x8002);
    nic.card.faults.splitFcs = true;
    nic.card.wire.inject(frameTo(nic.card.mac, 64));
    expect([nic.received(0).length, nic.received(1).length]).toEqual([64, 4]);
    expect([nic.received(0).status & 2, nic.received(1).status & 2]).toEqual([0, 2]);
  });

  test("reads as ones when it has fallen off the bus", () => {
    const nic = new Nic();
    nic.card.faults.allOnes = true;
    expect(nic.read(Reg.STATUS)).toBe(0xffff_ffff);
    expect(nic.card.wire.inject(frameTo(nic.card.mac, 64))).toBe(false);
  });
});
