// Configuration space as the guest finds it, both ways and at every width.
import { describe, expect, it } from "vitest";
import { GuestPciFunction, scanBus } from "../../../machine/driver/pci.ts";
import { ECAM_BASE } from "../../../machine/pci/bus.ts";
import { CapabilityId } from "../../../machine/pci/capabilities.ts";
import { Command, Config, PciFunction } from "../../../machine/pci/function.ts";
import { cardFunction, drive, frame, INTEL_MODELS, settle, start } from "../net/setup.ts";

const WIDTHS = [1, 2, 4] as const;
const CARD = 2 << 3;
const ABSENT = 9 << 3;
const HOST_BRIDGE = 0;

it("leaves absent functions to the machine, also through memory: nothing answers, until something does", () => {
  const { guest, bus } = start("82574L");
  const ecam = new GuestPciFunction(guest, ABSENT, "ecam");
  expect(ecam.read(Config.VendorId, 4)).toBe(0xffff_ffff);
  bus.attach(new PciFunction({ vendor: 0x1234, device: 0x5678, classCode: 0x0c_0330 }), ABSENT >> 3);
  expect(ecam.read(Config.VendorId, 4)).toBe(0x5678_1234);
});

describe.each(INTEL_MODELS)("in place of the %s", (model) => {
  it("is exactly one function: virtio-net", () => {
    const machine = start(model);
    for (const way of ["ports", "ecam"] as const) {
      const found = scanBus(machine.guest, way);
      expect(found.map(({ address }) => address)).toEqual([HOST_BRIDGE, CARD]);
      expect(found[1]!.read(Config.VendorId, 4)).toBe(0x1000_1af4);
      expect(found[1]!.read(8, 4)).toBe(0x0200_0000);
      expect(found[1]!.read(0x2c, 4)).toBe(0x0001_1af4);
    }
  });

  it.each([
    ["the card's function", CARD],
    ["the host bridge", HOST_BRIDGE],
    ["an absent function", ABSENT],
  ])("reads %s the same through ports and through memory at every width", (_, address) => {
    const { guest } = start(model);
    const ports = new GuestPciFunction(guest, address);
    const ecam = new GuestPciFunction(guest, address, "ecam");
    for (const width of WIDTHS) {
      for (let offset = 0; offset < 256; offset += width) {
        const dword = ports.read(offset & ~3, 4);
        const bits = width === 4 ? dword : (dword >>> (8 * (offset & 3))) & (2 ** (8 * width) - 1);
        expect(ports.read(offset, width), `ports ${offset}/${width}`).toBe(bits);
        expect(ecam.read(offset, width), `ecam ${offset}/${width}`).toBe(bits);
      }
    }
    const wide = guest.read(ECAM_BASE + address * 4096 + 8, 8);
    expect(Number(wide & 0xffff_ffffn)).toBe(ports.read(8, 4));
    expect(Number(wide >> 32n)).toBe(ports.read(12, 4));
  });

  it("carries out accesses to other functions on the machine", () => {
    const machine = start(model);
    const bridge = new GuestPciFunction(machine.guest, HOST_BRIDGE);
    expect(bridge.read(0, 4)).toBe(0x29c0_8086);
    expect(new GuestPciFunction(machine.guest, ABSENT).read(0, 4)).toBe(0xffff_ffff);
    machine.guest.out(0xcf8, 4, 0);
    expect(machine.guest.in(0xcfc, 4)).toBe(0xffff_ffff);
  });

  it("leaves 0xCF8 as the guest wrote it, whatever is read in between", () => {
    const machine = start(model);
    const ecam = new GuestPciFunction(machine.guest, CARD, "ecam");
    machine.guest.out(0xcf8, 4, 0x8000_1234);
    for (let offset = 0; offset < 256; offset += 4) ecam.read(offset, 4);
    expect(machine.guest.in(0xcf8, 4)).toBe(0x8000_1234);
  });

  it("has an I/O BAR and a memory BAR of the card's sizes", () => {
    const pci = cardFunction(start(model));
    expect([0, 1, 2, 3, 4, 5].map((index) => pci.barSize(index))).toEqual([
      model === "82574L" ? 32 : 64,
      0x2_0000,
      0,
      0,
      0,
      0,
    ]);
    expect(pci.read(0x30, 4)).toBe(0);
  });

  it("keeps the BARs through sizing while it decodes", () => {
    const machine = start(model);
    const driver = drive(machine, model);
    const before = [driver.pci.bar(0), driver.pci.bar(1)];
    driver.pci.barSize(1);
    driver.pci.barSize(0);
    expect([driver.pci.bar(0), driver.pci.bar(1)]).toEqual(before);
    driver.send(frame(100));
    expect(machine.card.wire.take()).toEqual([frame(100)]);
  });

  it("moves the registers, and the card behind, to where the guest puts them", () => {
    const machine = start(model);
    const pci = cardFunction(machine);
    pci.write(Config.Command, 2, 0);
    pci.write(Config.Bar0, 4, 0x7000);
    pci.write(Config.Bar0 + 4, 4, 0xd000_0000);
    pci.write(Config.Command, 2, Command.Io | Command.Memory | Command.BusMaster);
    expect(machine.card.pci.readConfig(Config.Bar0, 4)).toBe(0xd000_0000);
    const driver = drive(machine, model);
    expect(driver.ports).toBe(0x7000);
    driver.offerBuffers(4);
    driver.send(frame(100));
    machine.card.wire.inject(frame(200));
    settle(machine);
    expect(machine.card.wire.take()).toEqual([frame(100)]);
    expect(driver.takeFrames()).toEqual([frame(200)]);
    expect(machine.guest.in(0x6000, 4)).toBe(0xffff_ffff);
  });

  it.each([
    ["Sheer's block", (base: number) => base],
    ["the local APIC", () => 0xfee0_0000],
    ["nowhere", () => 0],
  ])("does not move the card to %s", (_, place) => {
    const machine = start(model);
    const driver = drive(machine, model);
    driver.pci.write(Config.Bar0 + 4, 4, place(machine.block.base));
    expect(machine.card.pci.readConfig(Config.Bar0, 4)).toBe(0xc000_0000);
    driver.send(frame(100));
    expect(machine.card.wire.take()).toEqual([frame(100)]);
  });

  it("hides the card's registers", () => {
    const machine = start(model);
    const { guest } = machine;
    const driver = drive(machine, model);
    const base = driver.pci.bar(1);
    for (const offset of [0, 8, 0xc0, 0x100, 0x2800, 0x5400, 0x1_fffc]) guest.write32(base + offset, 0xffff_ffff);
    expect(guest.read32(base + 0x5400)).toBe(0);
    driver.pci.write(Config.Command, 2, Command.Io | Command.BusMaster);
    expect(guest.read32(base)).toBe(0xffff_ffff);
    driver.send(frame(100));
    expect(machine.card.wire.take()).toEqual([frame(100)]);
  });

  it("answers at its ports only while I/O decoding is on", () => {
    const machine = start(model);
    const driver = drive(machine, model);
    driver.pci.write(Config.Command, 2, Command.Memory | Command.BusMaster);
    expect(driver.register(0, 4)).toBe(0xffff_ffff);
    driver.pci.write(Config.Command, 2, Command.Io | Command.Memory | Command.BusMaster);
    expect(driver.register(18, 1)).toBe(7);
  });

  it("keeps the card decoding and mastering whatever the guest's command register says", () => {
    const machine = start(model);
    const pci = cardFunction(machine);
    for (const command of [0, 1, 2, 4, 7, 0x547, 0xffff]) {
      pci.write(Config.Command, 2, command);
      expect(pci.read(Config.Command, 2)).toBe(command & 0x547);
      expect(machine.card.pci.readConfig(Config.Command, 2) & 7).toBe(6);
    }
  });
});

it("shows an MSI-X capability of four vectors in BAR 1 on the 82574L", () => {
  const pci = cardFunction(start("82574L"));
  const at = pci.capability(CapabilityId.MsiX)!;
  expect([pci.read(at + 2, 2), pci.read(at + 4, 4), pci.read(at + 8, 4)]).toEqual([3, 1, 0x801]);
  for (const id of [1, 5, 0x10]) expect(pci.capability(id)).toBeUndefined();
});

it("works without an MCFG table", () => {
  const machine = start("82574L", { mcfg: false });
  machine.guest.out(0xcf8, 4, 0x8000_0008);
  const driver = drive(machine, "82574L");
  driver.send(frame(100));
  expect(machine.card.wire.take()).toEqual([frame(100)]);
});

it("leaves a machine without a supported card alone", () => {
  const machine = start("82574L", { cards: [] });
  expect(scanBus(machine.guest).map(({ address }) => address)).toEqual([HOST_BRIDGE]);
});

it("takes the first of two cards and passes the other through", () => {
  const machine = start("82574L", { cards: [{ model: "82540EM" }, { model: "82574L" }] });
  expect(scanBus(machine.guest).map((pci) => pci.read(0, 4))).toEqual([0x29c0_8086, 0x1000_1af4, 0x10d3_8086]);
});

it("takes the card from the firmware's driver", () => {
  const machine = start("82574L", { firmwareNicDriver: true });
  const driver = drive(machine, "82574L");
  driver.offerBuffers(4);
  machine.card.wire.inject(frame(100));
  settle(machine);
  expect(driver.takeFrames()).toEqual([frame(100)]);
});

it("answers a configuration access that is not for it in a few instructions", () => {
  const { guest } = start("82574L");
  const bridge = new GuestPciFunction(guest, HOST_BRIDGE);
  bridge.read(0, 4);
  const exits = guest.exits("port");
  bridge.read(0, 4);
  expect(guest.exits("port") - exits).toBe(1); // 0xCFC; 0xCF8 is the machine's own
});
