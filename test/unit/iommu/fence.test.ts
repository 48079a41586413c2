// Sheer's block behind an IOMMU, in a machine whose IOMMUs walk what Sheer has built as their specifications say.
import { describe, expect, test } from "vitest";
import { AmdIommu, AmdRegister } from "../../../machine/iommu/amd.ts";
import { IntelIommu, IntelRegister } from "../../../machine/iommu/intel.ts";
import type { Iommu, Registers } from "../../../machine/iommu/iommu.ts";
import type { Machine, MachineOptions } from "../../../machine/machine.ts";
import type { PhysicalMemory } from "../../../machine/memory.ts";
import { addExpress } from "../../../machine/pci/capabilities.ts";
import { Command, Config, type PciFunction } from "../../../machine/pci/function.ts";
import { ABSENT, addFunction, at, bootWith, idAt } from "../pci/setup.ts";
import { drive, settle } from "../net/setup.ts";

const LOG = "sheer.efi log=0x3e8";
const PAGE = 4096;
const CARD = at("00:02.0");
const OTHER = at("00:05.0");
/** Longer than Sheer leaves the IOMMU unread. */
const WATCH_TIME = 200_000_000;

type Maker = (memory: PhysicalMemory) => Iommu;
const makers: [string, Maker][] = [
  ["Intel's IOMMU with 3 levels", (memory) => new IntelIommu(memory)],
  ["Intel's IOMMU with 4 levels", (memory) => new IntelIommu(memory, { levels: 4 })],
  ["AMD's IOMMU", (memory) => new AmdIommu(memory)],
  ["AMD's IOMMU that names all devices", (memory) => new AmdIommu(memory, { entries: [1, 0, 0, 0] })],
  ["AMD's first IOMMUs", (memory) => new AmdIommu(memory, { invalidateAll: false })],
];

/** Boots Sheer with an IOMMU and, on 00:05.0, a function that may do what it likes. */
function start(iommu: Maker, options: MachineOptions = {}): Machine {
  return bootWith({ loadOptions: LOG, highMemory: 16, ...options, iommu }, (machine) =>
    addFunction(machine, "00:05.0"),
  );
}
function registersOf(machine: Machine): Registers {
  return unitOf(machine).registers;
}
function unitOf(machine: Machine): IntelIommu | AmdIommu {
  const { iommu } = machine.bus;
  if (iommu instanceof IntelIommu || iommu instanceof AmdIommu) return iommu;
  throw new Error("the machine has no IOMMU");
}
/** Pages of the block that a function reaches at all. */
function reached({ bus, block }: Machine, device: number): number[] {
  const pages = Array.from({ length: block.size / PAGE }, (_, i) => block.base + i * PAGE);
  return pages.filter((page) => [false, true].some((write) => bus.iommu!.translate(device, page, write) !== undefined));
}
function complaints(machine: Machine): string[] {
  return machine.log().match(/device .* was refused .*/g) ?? [];
}
/** Lets Sheer look at what its IOMMU has noted. */
function look({ clock, guest }: Machine): void {
  clock.advance(WATCH_TIME);
  for (let i = 0; i < 3; i++) guest.in(0xcfc, 4);
}

describe.each(makers)("%s", (_name, iommu) => {
  test("lets devices reach all memory but the block", () => {
    const machine = start(iommu);
    const { block, bus } = machine;
    expect(reached(machine, OTHER)).toEqual([]);
    const ends = [
      0,
      0x9_f000,
      block.base - 1,
      block.base + block.size,
      0xf000_0000,
      2 ** 32,
      2 ** 38 + 0x1234,
      2 ** 39 - 1,
    ];
    for (const address of ends) {
      for (const write of [false, true]) expect(bus.iommu!.translate(OTHER, address, write)).toBe(address);
    }
  });

  test("lets the card that Sheer drives reach its rings and buffers, and no more of the block", () => {
    const machine = start(iommu);
    const { block } = machine;
    const used = new Set<number>();
    machine.bus.onDma = ({ address }) => {
      if (address >= block.base && address < block.base + block.size) used.add(address - (address % PAGE));
    };
    const driver = drive(machine, "82574L");
    for (let i = 0; i < 260; i++) {
      machine.card.wire.inject([...machine.card.mac, ...new Uint8Array(60).fill(i)]);
      driver.offerBuffers(1, 1000); // too short to be lent: the card receives into the block
      settle(machine, 1);
    }
    const reachable = reached(machine, CARD);
    expect(reachable).toEqual(expect.arrayContaining([...used]));
    expect(used.size).toBeGreaterThan(100);
    // 1 page of receive and 2 of transmit descriptors, 128 of buffers, 32 of headers.
    expect(reachable).toHaveLength(163);
  });

  test("is not there for the guest", () => {
    const machine = start(iommu);
    const { guest } = machine;
    const unit = unitOf(machine);
    const before = unit.registers.writes.length;
    for (const offset of [0x18, 0x20, 0x28]) {
      expect(guest.read32(unit.base + offset)).toBe(0xffff_ffff);
      guest.write32(unit.base + offset, 0);
    }
    expect(unit.registers.writes).toHaveLength(before);
    expect(unit.translating).toBe(true);
    const signatures = tables(machine).map(({ signature }) => signature);
    expect(signatures).toEqual(["FACP", "APIC", "MCFG", unit.acpi.signature.toLowerCase()]);
    expect(tables(machine).every(({ sum }) => sum === 0)).toBe(true);
  });

  test("has its refusals in the log, one line for 1, 2, 4, 8 … of a device", () => {
    const machine = start(iommu);
    const { block, bus } = machine;
    const attacker = bus.find(OTHER)!;
    for (let i = 0; i < 40; i++) {
      bus.dmaWrite(attacker, block.base + 0x1000, [1]);
      look(machine);
    }
    const where = `0x${(block.base + 0x1000).toString(16)}`;
    expect(complaints(machine)).toHaveLength(6);
    expect(complaints(machine)[0]).toContain(`device 00:05.0 was refused address ${where} (`);
    expect(complaints(machine)[5]).toContain("times: 32");
  });

  test("goes on telling after more refusals at a time than it has room for", () => {
    const machine = start(iommu);
    const { block, bus } = machine;
    const attacker = bus.find(OTHER)!;
    for (let i = 0; i < 1000; i++) bus.dmaWrite(attacker, block.base, [1]);
    for (let i = 0; i < 10; i++) look(machine);
    const before = complaints(machine).length;
    expect(before).toBeGreaterThan(0);
    expect(before).toBeLessThan(11);
    const second = addFunction(machine, "00:06.0");
    bus.dmaWrite(second, block.base, [1]);
    look(machine);
    expect(complaints(machine)).toHaveLength(before + 1);
    expect(complaints(machine).at(-1)).toContain("device 00:06.0");
  });

  test("is left alone if a setting says so", () => {
    const machine = start(iommu, { loadOptions: `${LOG} memory.dma=off` });
    expect(registersOf(machine).writes).toEqual([]);
    expect(tables(machine).map(({ signature }) => signature)).toContain(machine.bus.iommu!.acpi.signature);
  });
});

test.each(["82540EM", "BCM57766"] as const)("a %s that Sheer drives works behind either maker's", (model) => {
  for (const iommu of [makers[0]![1], makers[2]![1]]) {
    const machine = start(iommu, { cards: [{ model }] });
    machine.clock.advance(2_000_000);
    const driver = drive(machine, model);
    driver.offerBuffers(4);
    const frame = Uint8Array.from({ length: 100 }, (_, i) => i);
    driver.send(frame);
    settle(machine);
    machine.nic.wire.inject([...machine.nic.mac, ...frame.subarray(6)]);
    settle(machine);
    expect(machine.nic.wire.take()).toEqual([frame]);
    expect(driver.frames).toHaveLength(1);
    look(machine);
    expect(complaints(machine)).toEqual([]);
  }
});

test("requests of a card behind a bridge to conventional PCI carry other names, which reach the card's pages too", () => {
  const bridge = (pci: PciFunction, buses: number): void => {
    pci.config[Config.HeaderType] = 1;
    new DataView(pci.config.buffer).setUint32(0x18, buses, true);
  };
  const machine = bootWith({ iommu: makers[0]![1] }, (each) => {
    const [card] = each.cards;
    each.bus.detach(card!.pci);
    each.bus.attach(card!.pci, 1, 0, 3);
    card!.pci.writeConfig(Config.Command, 2, Command.Io | Command.Memory);
    // A root port, conventional bridges in a row, and a root port that leads elsewhere.
    const port = addFunction(each, "00:06.0", { express: true });
    addExpress(port, 0x40);
    bridge(port, 0x03_02_00);
    bridge(addFunction(each, "02:00.0"), 0x03_03_02);
    bridge(addFunction(each, "00:07.0"), 0x05_04_00);
  });
  const reachers = ["03:01.0", "02:00.0", "03:00.0", "00:06.0", "00:07.0", "04:00.0", "03:02.0"].filter(
    (slot) => reached(machine, at(slot)).length > 0,
  );
  expect(reachers).toEqual(["03:01.0", "02:00.0", "03:00.0"]);
});

describe("AMD's IOMMU", () => {
  test("has no function in the guest's configuration space", () => {
    const machine = bootWith({ iommu: (memory) => new AmdIommu(memory) }, (each) => addFunction(each, "00:00.2"));
    expect(idAt(machine, "00:00.2")).toBe(ABSENT);
    expect(idAt(machine, "00:00.2", "ecam")).toBe(ABSENT);
  });

  test("is told to forget all before Sheer relies on it, and what the firmware says of chipset devices", () => {
    // INITPass, EIntPass and NMIPass, system management messages and both LINTs for 00:14.0, alone.
    const entries = [3, 0, 0, 0, 4, 0xff, 0, 0, 2, 0xa0, 0, 0xd7];
    const machine = start((memory) => new AmdIommu(memory, { entries }));
    const unit = machine.bus.iommu as AmdIommu;
    expect(unit.commands).toEqual([8, 1]);
    const passed = unit.deviceEntry(0xa0);
    expect((passed[1]! >> 40n) & 3n).toBe(1n);
    expect(passed[2]! >> 56n).toBe(0xc7n);
    expect(unit.deviceEntry(OTHER)[2]).toBe(0n);
    // Coherent, by the flag of its IVHD block.
    expect(unit.registers.get32(AmdRegister.Control) & (1 << 10)).not.toBe(0);
  });
});

describe("Intel's IOMMU", () => {
  test("writes its buffers out, gets its root table, forgets contexts and then translations, and translates", () => {
    const registers = registersOf(start((memory) => new IntelIommu(memory)));
    const R = IntelRegister;
    expect(registers.writes.map(({ offset }) => offset)).toEqual([
      ...[R.GlobalCommand, R.RootTable, R.RootTable + 4, R.GlobalCommand],
      ...[R.ContextCommand, R.ContextCommand + 4, R.IotlbInvalidate, R.IotlbInvalidate + 4],
      ...[R.GlobalCommand, R.ProtectedMemory],
    ]);
    // Protected memory, which the firmware may have used until now, would keep devices from what is theirs.
    expect(registers.get32(R.ProtectedMemory)).toBe(0);
  });
});

describe("an IOMMU that cannot be used", () => {
  const unusable: [string, Maker, string][] = [
    ["is the firmware's", (memory) => new IntelIommu(memory, { status: 0x8000_0000 }), "in use by the firmware"],
    ["remaps interrupts", (memory) => new IntelIommu(memory, { status: 0x0200_0000 }), "in use by the firmware"],
    ["has no large pages", (memory) => new IntelIommu(memory, { pagesOf1G: false }), "no pages of 1 GiB"],
    ["has 5 levels only", (memory) => new IntelIommu(memory, { levels: 5 }), "neither 3 nor 4 levels"],
    ["has queues only", (memory) => new IntelIommu(memory, { majorVersion: 6 }), "by queue only"],
    ["is the firmware's, of AMD", (memory) => new AmdIommu(memory, { control: 1 }), "in use by the firmware"],
  ];
  test.each(unusable)("for it %s stays as it is, and the log says why", (_name, iommu, word) => {
    const machine = start(iommu);
    expect(machine.log()).toContain(word);
    expect(machine.log()).toContain("devices can reach Sheer's block");
    expect(registersOf(machine).writes).toEqual([]);
    expect(tables(machine).map(({ signature }) => signature)).toContain(machine.bus.iommu!.acpi.signature);
  });

  const deaf: [string, Maker][] = [
    ["Intel's root table", (memory) => new IntelIommu(memory, { deaf: IntelRegister.GlobalCommand })],
    ["Intel's invalidation", (memory) => new IntelIommu(memory, { deaf: IntelRegister.ContextCommand + 4 })],
    ["AMD's commands", (memory) => new AmdIommu(memory, { deaf: true })],
  ];
  test.each(deaf)("for it does not answer (%s) is off in the end", (_name, iommu) => {
    const machine = start(iommu);
    expect(machine.log()).toContain("does not answer");
    expect(unitOf(machine).translating).toBe(false);
  });

  test("is not there: the log says so", () => {
    expect(bootWith({ loadOptions: LOG }).log()).toContain("no IOMMU");
  });
});

/** The ACPI tables that the XSDT lists, as the guest reads them, and the sum of the bytes of each. */
function tables({ firmware, memory }: Machine): { signature: string; sum: number }[] {
  const rsdp = Number(memory.read64(Number(memory.read64(firmware.systemTable + 112)) + 16));
  const xsdt = Number(memory.read64(rsdp + 24));
  const count = (memory.read32(xsdt + 4) - 36) / 8;
  return Array.from({ length: count }, (_, i) => {
    const bytes = memory.readBytes(
      Number(memory.read64(xsdt + 36 + 8 * i)),
      memory.read32(Number(memory.read64(xsdt + 36 + 8 * i)) + 4),
    );
    return {
      signature: String.fromCharCode(...bytes.subarray(0, 4)),
      sum: bytes.reduce((sum, byte) => (sum + byte) & 0xff, 0),
    };
  });
}
