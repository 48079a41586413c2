import { describe, expect, test } from "vitest";
import { Icr, Reg } from "../../../machine/e1000/registers.ts";
import { frameTo, Nic } from "./nic.ts";

const MSI = 0xd0;

function enableMsi(nic: Nic, vector: number): void {
  nic.card.pci.writeConfig(MSI + 4, 4, 0xfee0_0000);
  nic.card.pci.writeConfig(MSI + 8, 4, 0);
  nic.card.pci.writeConfig(MSI + 12, 2, vector);
  nic.card.pci.writeConfig(MSI + 2, 2, 1);
}

describe("reset", () => {
  test("clears itself, stops the rings and takes the address from the EEPROM", () => {
    const nic = new Nic();
    nic.write(Reg.RAL0, 0);
    nic.write(Reg.CTRL, 0x0400_0000);
    expect(nic.read(Reg.CTRL) & 0x0400_0000).not.toBe(0);
    nic.machine.clock.advance(10_000);
    expect(nic.read(Reg.CTRL) & 0x0400_0000).toBe(0);
    expect(nic.read(Reg.RCTL)).toBe(0);
    expect(nic.read(Reg.RAL0)).toBe(0x1200_5452);
    expect(nic.read(Reg.RAH0)).toBe(0x8000_5634);
  });

  test("of a faulty card never ends", () => {
    const nic = new Nic();
    nic.card.faults.resetHangs = true;
    nic.write(Reg.CTRL, 0x0400_0000);
    nic.machine.clock.advance(1e9);
    expect(nic.read(Reg.CTRL) & 0x0400_0000).not.toBe(0);
  });
});

describe("the EEPROM", () => {
  test.each([
    ["82540EM", 8, 4],
    ["82574L", 2, 1],
  ] as const)("of the %s is read through EERD", (model, shift, done) => {
    const nic = new Nic(model);
    const words = Array.from({ length: 64 }, (_, address) => {
      nic.write(Reg.EERD, 1 | (address << shift));
      expect(nic.read(Reg.EERD) & (1 << done)).not.toBe(0);
      return nic.read(Reg.EERD) >>> 16;
    });
    expect(words.slice(0, 3)).toEqual([0x5452, 0x1200, 0x5634]);
    expect(words.reduce((total, word) => total + word, 0) & 0xffff).toBe(0xbaba);
  });
});

describe("the PHY", () => {
  const readPhy = (nic: Nic, register: number): number => {
    nic.write(Reg.MDIC, (2 << 26) | (1 << 21) | (register << 16));
    return nic.read(Reg.MDIC);
  };
  test("tells of the link", () => {
    const nic = new Nic();
    expect(readPhy(nic, 1) & 0x1000_0004).toBe(0x1000_0004);
    nic.card.setCable(false);
    expect(readPhy(nic, 1) & 4).toBe(0);
  });
  test("answers at its own address only", () => {
    const nic = new Nic();
    nic.write(Reg.MDIC, (2 << 26) | (3 << 21) | (1 << 16));
    expect(nic.read(Reg.MDIC) & (1 << 30)).not.toBe(0);
  });
});

test("the link comes up some time after CTRL.SLU, with a cause", () => {
  const nic = new Nic();
  nic.write(Reg.CTRL, 0x0400_0000);
  nic.machine.clock.advance(10_000);
  expect(nic.card.linkUp).toBe(false);
  nic.write(Reg.CTRL, 0x40);
  nic.machine.clock.advance(5_000_000);
  expect(nic.read(Reg.STATUS) & 2).toBe(2);
  expect(nic.read(Reg.ICR) & Icr.Lsc).toBe(Icr.Lsc);
});

describe("statistics", () => {
  test("count and are cleared by a read", () => {
    const nic = new Nic();
    nic.card.wire.inject(frameTo(nic.card.mac, 100));
    nic.card.wire.inject(frameTo([255, 255, 255, 255, 255, 255], 60));
    expect(nic.read(0x4074)).toBe(2);
    expect(nic.read(0x4078)).toBe(1);
    expect(nic.read(0x4088)).toBe(168);
    expect(nic.read(0x408c)).toBe(0);
    expect(nic.read(0x4088)).toBe(0);
    expect(nic.read(0x4074)).toBe(0);
  });
});

describe("INTx", () => {
  test("is asserted while an unmasked cause stands", () => {
    const nic = new Nic("82540EM");
    nic.write(Reg.ICS, Icr.Rxt0);
    expect(nic.card.pci.interruptAsserted).toBe(false);
    nic.write(Reg.IMS, Icr.Rxt0);
    expect(nic.card.pci.interruptAsserted).toBe(true);
    expect(nic.read(Reg.ICR)).toBe((0x8000_0000 | Icr.Rxt0) >>> 0);
    expect(nic.card.pci.interruptAsserted).toBe(false);
    expect(nic.read(Reg.ICR)).toBe(0);
  });

  test("is released by the mask, and by writing the cause", () => {
    const nic = new Nic("82540EM");
    nic.write(Reg.IMS, Icr.Rxt0 | Icr.Lsc);
    nic.write(Reg.ICS, Icr.Rxt0 | Icr.Lsc);
    nic.write(Reg.IMC, Icr.Rxt0);
    expect(nic.card.pci.interruptAsserted).toBe(true);
    nic.write(Reg.ICR, Icr.Lsc);
    expect(nic.card.pci.interruptAsserted).toBe(false);
    nic.write(Reg.IMS, Icr.Rxt0);
    expect(nic.card.pci.interruptAsserted).toBe(true);
  });
});

describe("MSI", () => {
  test("is one message for a cause until it is acknowledged", () => {
    const nic = new Nic();
    enableMsi(nic, 0x4013);
    nic.write(Reg.IMS, Icr.Rxt0 | Icr.Lsc);
    nic.write(Reg.ICS, Icr.Rxt0);
    nic.write(Reg.ICS, Icr.Rxt0);
    expect(nic.card.interruptCount).toBe(1);
    expect(nic.machine.apic.acknowledge()).toBe(0x13);
    nic.write(Reg.ICS, Icr.Lsc);
    expect(nic.card.interruptCount).toBe(2);
    nic.read(Reg.ICR);
    nic.write(Reg.ICS, Icr.Rxt0);
    expect(nic.card.interruptCount).toBe(3);
    expect(nic.card.pci.interruptAsserted).toBe(false);
  });

  test("comes anew when a standing cause is masked and unmasked", () => {
    const nic = new Nic();
    enableMsi(nic, 0x4013);
    nic.write(Reg.IMS, Icr.Rxt0);
    nic.write(Reg.ICS, Icr.Rxt0);
    nic.write(Reg.IMC, 0xffff_ffff);
    nic.write(Reg.IMS, Icr.Rxt0);
    expect(nic.card.interruptCount).toBe(2);
  });

  test("needs bus mastering", () => {
    const nic = new Nic();
    enableMsi(nic, 0x4013);
    nic.card.pci.writeConfig(4, 2, 2);
    nic.write(Reg.IMS, Icr.Rxt0);
    nic.write(Reg.ICS, Icr.Rxt0);
    expect(nic.machine.apic.pending()).toBe(-1);
  });

  test("is no more often than ITR allows", () => {
    const nic = new Nic();
    enableMsi(nic, 0x4013);
    nic.write(Reg.ITR, 100);
    nic.write(Reg.IMS, Icr.Rxt0);
    nic.write(Reg.ICS, Icr.Rxt0);
    nic.read(Reg.ICR);
    nic.write(Reg.ICS, Icr.Rxt0);
    expect(nic.card.interruptCount).toBe(1);
    nic.machine.clock.advance(25_599);
    expect(nic.card.interruptCount).toBe(1);
    nic.machine.clock.advance(1);
    expect(nic.card.interruptCount).toBe(2);
  });

  test("a message may come without a cause", () => {
    const nic = new Nic();
    enableMsi(nic, 0x4013);
    nic.card.interrupts.spurious();
    expect(nic.machine.apic.pending()).toBe(0x13);
    expect(nic.read(Reg.ICR)).toBe(0);
  });
});

test("MSI-X sends each queue's vector as IVAR says, or remembers it while masked", () => {
  const nic = new Nic();
  const { memory, apic, card } = nic.machine;
  const table = 0xc004_0000;
  card.pci.writeConfig(0xa2, 2, 0x8000);
  memory.write32(table + 16, 0xfee0_0000);
  memory.write32(table + 24, 0x55);
  nic.write(Reg.IVAR, 0x9);
  nic.write(Reg.IMS, Icr.Rxq0);
  card.wire.inject(frameTo(card.mac, 64));
  expect(apic.pending()).toBe(-1);
  expect(memory.read32(0xc004_2000)).toBe(2);
  memory.write32(table + 28, 0);
  expect(apic.pending()).toBe(0x55);
  expect(memory.read32(0xc004_2000)).toBe(0);
});
