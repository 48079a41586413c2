// Intel's cards by generation. The model is strict about what each wants at a reset and before it works (rules.ts).
import { describe, expect, it } from "vitest";
import type { VirtioNetDriver } from "../../../machine/driver/virtio-net.ts";
import { type Model, MODELS } from "../../../machine/e1000/models.ts";
import { Ctrl, Rctl, Reg } from "../../../machine/e1000/registers.ts";
import type { Machine } from "../../../machine/machine.ts";
import { Command, Config } from "../../../machine/pci/function.ts";
import { drive, frame, hasMessages, settle, start } from "./setup.ts";

const ALL = Object.keys(MODELS) as Model[];
const MASTER = Command.Memory | Command.BusMaster;

function exchange(machine: Machine, driver: VirtioNetDriver): void {
  driver.offerBuffers(4);
  machine.nic.wire.inject(frame(300));
  driver.send(frame(200));
  settle(machine);
  expect(driver.takeFrames()).toEqual([frame(300)]);
  expect(machine.nic.wire.take()).toEqual([frame(200)]);
}

describe.each(ALL)("a %s", (model) => {
  it("is reset as it wants, and serves, also after its power was gone", () => {
    const machine = start(model);
    const driver = drive(machine, model);
    exchange(machine, driver);
    expect(driver.interrupts.receive > 0).toBe(hasMessages(model));
    machine.nic.powerCycle();
    driver.start();
    settle(machine);
    exchange(machine, driver);
  });

  it("keeps the MAC address that the firmware has given it, though the reset reads another from the EEPROM", () => {
    const machine = start(model, {}, ({ card }) => {
      card.pci.writeConfig(Config.Command, 2, Command.Memory);
      card.writeMmio(Reg.RAL0, 4, 0x0403_0201 ^ 0x03);
      card.writeMmio(Reg.RAH0, 4, 0x8000_0605);
    });
    machine.clock.advance(100_000_000);
    expect(drive(machine, model).mac()).toEqual([2, 2, 3, 4, 5, 6]);
    expect(machine.card.registers.get(Reg.RAL0)).toBe(0x0403_0202);
  });

  it("has a MAC address though the firmware has left it without memory and bus mastering", () => {
    const machine = start(model, {}, ({ card }) => card.pci.writeConfig(Config.Command, 2, 0));
    expect(drive(machine, model).mac()).toEqual(machine.nic.mac);
  });
});

describe("the 82574L", () => {
  // Receive errors of a descriptor (82574 datasheet 7.1.4.5).
  const ERRORS = { CRC: 0x01, symbol: 0x02, sequence: 0x04, "carrier extension": 0x10, data: 0x80 } as const;

  it.each(Object.entries(ERRORS))("drops a frame with a %s error", (_, bit) => {
    const machine = start("82574L");
    const driver = drive(machine, "82574L");
    driver.offerBuffers(8);
    machine.card.faults.receiveErrors = bit;
    machine.nic.wire.inject(frame(100));
    machine.card.faults.receiveErrors = 0;
    machine.nic.wire.inject(frame(101));
    settle(machine);
    expect(driver.takeFrames()).toEqual([frame(101)]);
  });

  it.each([
    ["IP", 0x40],
    ["TCP or UDP", 0x20],
  ])("takes a frame whose %s checksum is wrong: that is for the guest to see", (_, bit) => {
    const machine = start("82574L");
    const driver = drive(machine, "82574L");
    driver.offerBuffers(8);
    machine.card.faults.receiveErrors = bit;
    machine.nic.wire.inject(frame(100));
    settle(machine);
    expect(driver.takeFrames()).toEqual([frame(100)]);
  });
});

describe("an I219-LM", () => {
  it("whose rings the firmware has left full is emptied before its reset, or it would hang", () => {
    const machine = start("I219-LM", {}, ({ card, memory }) => {
      card.pci.writeConfig(Config.Command, 2, MASTER);
      memory.write64(0x30_0000, 0x31_0000n);
      memory.write64(0x30_0008, 0x0b00_0040n);
      for (const [register, value] of [
        [Reg.TDBAL, 0x30_0000],
        [Reg.TDLEN, 128],
        [Reg.CTRL, Ctrl.SetLinkUp],
        [Reg.TCTL, 0xa],
        [Reg.TDT, 1],
      ] as const) {
        card.writeMmio(register, 4, value);
      }
      card.wire.take();
      expect(card.pci.get(0xe4, 2) & 0x100).toBe(0x100);
    });
    const driver = drive(machine, "I219-LM");
    machine.nic.wire.take();
    exchange(machine, driver);
  });

  it("never asserts its INTx, and has MSI-X all the same", () => {
    const machine = start("I219-LM");
    const driver = drive(machine, "I219-LM");
    exchange(machine, driver);
    expect(driver.interrupts.receive).toBeGreaterThan(0);
    expect(machine.card.registers.get(Reg.RCTL) & Rctl.Enable).toBe(Rctl.Enable);
    expect(machine.nic.pci.interruptAsserted).toBe(false);
  });
});
