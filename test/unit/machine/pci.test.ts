import { describe, expect, test } from "vitest";
import { Machine } from "../../../machine/machine.ts";
import { ECAM_BASE } from "../../../machine/pci/bus.ts";

const NIC = 0x8000_1000;

function machine(): Machine {
  return new Machine({ cards: [{ model: "82574L" }] });
}

function readConfig({ ports }: Machine, offset: number): number {
  ports.write(0xcf8, 4, (NIC | offset) >>> 0);
  return ports.read(0xcfc, 4);
}

function writeConfig({ ports }: Machine, offset: number, value: number): void {
  ports.write(0xcf8, 4, (NIC | offset) >>> 0);
  ports.write(0xcfc, 4, value);
}

describe("configuration space", () => {
  test("names the card by its ids and class", () => {
    expect(readConfig(machine(), 0)).toBe(0x10d3_8086);
    expect(readConfig(machine(), 8) >>> 8).toBe(0x02_0000);
  });

  test("is the same through ports and memory, at every dword and width", () => {
    const pc = machine();
    for (let offset = 0; offset < 256; offset += 4) {
      expect(pc.memory.read32(ECAM_BASE + 0x1_0000 + offset)).toBe(readConfig(pc, offset));
    }
    pc.ports.write(0xcf8, 4, NIC);
    expect(pc.ports.read(0xcfe, 2)).toBe(0x10d3);
    expect(pc.ports.read(0xcfd, 1)).toBe(0x80);
    expect(pc.memory.read16(ECAM_BASE + 0x1_0002)).toBe(0x10d3);
  });

  test("reads as ones where no function is, and while 0xCF8 is not enabled", () => {
    const pc = machine();
    pc.ports.write(0xcf8, 4, 0x8000_f800);
    expect(pc.ports.read(0xcfc, 4)).toBe(0xffff_ffff);
    pc.ports.write(0xcf8, 4, NIC & 0x7fff_ffff);
    expect(pc.ports.read(0xcfc, 4)).toBe(0xffff_ffff);
    expect(pc.memory.read32(ECAM_BASE + 0x20_0000)).toBe(0xffff_ffff);
  });

  test("keeps what software may not change", () => {
    const pc = machine();
    writeConfig(pc, 0, 0);
    writeConfig(pc, 4, 0xffff_ffff);
    expect(readConfig(pc, 0)).toBe(0x10d3_8086);
    expect(readConfig(pc, 4) & 0xf800).toBe(0);
  });

  test("lists power management, MSI, PCI Express and MSI-X", () => {
    const pc = machine();
    const ids: number[] = [];
    for (let at = readConfig(pc, 0x34) & 0xff; at; at = (readConfig(pc, at & 0xfc) >>> 8) & 0xff) {
      ids.push(readConfig(pc, at) & 0xff);
    }
    expect(ids.sort((a, b) => a - b)).toEqual([0x01, 0x05, 0x10, 0x11]);
    expect(readConfig(pc, 0xd0) & 0xff).toBe(0x05);
  });
});

describe("base address registers", () => {
  test.each([
    [0, 0xfffe_0000],
    [1, 0xfffe_0000],
    [2, 0xffff_ffe1],
    [3, 0xffff_c000],
    [4, 0],
  ])("BAR %i tells its size", (bar, mask) => {
    const pc = machine();
    writeConfig(pc, 0x10 + 4 * bar, 0xffff_ffff);
    expect(readConfig(pc, 0x10 + 4 * bar)).toBe(mask >>> 0);
  });

  test("move the registers, and hide them while decoding is off", () => {
    const pc = machine();
    const status = pc.memory.read32(0xc000_0008);
    expect(status).not.toBe(0xffff_ffff);
    writeConfig(pc, 0x10, 0xd000_0000);
    expect(pc.memory.read32(0xc000_0008)).toBe(0xffff_ffff);
    expect(pc.memory.read32(0xd000_0008)).toBe(status);
    writeConfig(pc, 4, 0);
    expect(pc.memory.read32(0xd000_0008)).toBe(0xffff_ffff);
  });

  test("the I/O window reaches the registers", () => {
    const pc = machine();
    pc.ports.write(0x6000, 4, 8);
    expect(pc.ports.read(0x6004, 4)).toBe(pc.memory.read32(0xc000_0008));
  });
});

describe("bus mastering", () => {
  test("off, a card reads ones and writes nothing", () => {
    const { card, memory } = machine();
    memory.write32(0x1000, 0x1234);
    card.pci.dmaWrite(0x1000, [1, 2, 3, 4]);
    expect(memory.read32(0x1000)).toBe(0x1234);
    expect([...card.pci.dmaRead(0x1000, 2)]).toEqual([0xff, 0xff]);
    card.pci.writeConfig(4, 2, 6);
    card.pci.dmaWrite(0x1000, [1, 2, 3, 4]);
    expect(memory.read32(0x1000)).toBe(0x0403_0201);
  });

  test("a test sees every access", () => {
    const { bus, card } = machine();
    const seen: unknown[] = [];
    bus.onDma = (access) => seen.push(access);
    card.pci.writeConfig(4, 2, 6);
    card.pci.dmaRead(0x2000, 16);
    expect(seen).toEqual([{ source: card.pci, address: 0x2000, length: 16, write: false }]);
  });
});

test("INTx reaches the I/O APIC and respects the disable bit", () => {
  const { card, bus, apic, memory } = machine();
  const entry = 0x10 + 2 * bus.inputOf(card.pci);
  memory.write32(0xfec0_0000, entry);
  memory.write32(0xfec0_0010, 0xa000 | 0x55);
  card.pci.setInterrupt(true);
  expect(apic.pending()).toBe(0x55);
  expect(card.pci.get(6, 2) & 8).toBe(8);
  card.pci.writeConfig(4, 2, 0x402);
  apic.acknowledge();
  memory.write32(0xfee0_00b0, 0);
  expect(apic.pending()).toBe(-1);
  card.pci.writeConfig(4, 2, 2);
  expect(apic.pending()).toBe(0x55);
});

test("a level-triggered line comes again after the EOI while it is asserted", () => {
  const { card, bus, apic, memory } = machine();
  memory.write32(0xfec0_0000, 0x10 + 2 * bus.inputOf(card.pci));
  memory.write32(0xfec0_0010, 0xa000 | 0x55);
  card.pci.setInterrupt(true);
  apic.acknowledge();
  expect(apic.pending()).toBe(-1);
  memory.write32(0xfee0_00b0, 0);
  expect(apic.acknowledge()).toBe(0x55);
  card.pci.setInterrupt(false);
  memory.write32(0xfee0_00b0, 0);
  expect(apic.pending()).toBe(-1);
});
