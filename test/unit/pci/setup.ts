// A machine with other PCI functions beside its cards.
import { GuestPciFunction, type ConfigWay } from "../../../machine/driver/pci.ts";
import { PciBridge } from "../../../machine/pci/bridge.ts";
import { Machine, type MachineOptions } from "../../../machine/machine.ts";
import { Command, Config, PciFunction, type Identity } from "../../../machine/pci/function.ts";

export const VIRTIO_NET = 0x1000_1af4;
export const ABSENT = 0xffff_ffff;

/** Boots Sheer on a machine to which `prepare` has added something. */
export function bootWith(options: MachineOptions, prepare: (machine: Machine) => void = () => undefined): Machine {
  const machine = new Machine({ forbidTraps: true, ...options });
  prepare(machine);
  machine.boot();
  if (!machine.guestRuns) throw new Error(`Sheer did not start: ${machine.screen}`);
  return machine;
}

/** Address of a function by its slot, such as `00:1f.3`. */
export function at(slot: string): number {
  const [bus, device, func] = slot.split(/[:.]/).map((part) => parseInt(part, 16)) as [number, number, number];
  return (bus << 8) | (device << 3) | func;
}

export function guestFunction(machine: Machine, slot: string, way: ConfigWay = "ports"): GuestPciFunction {
  return new GuestPciFunction(machine.guest, at(slot), way);
}

/** Vendor and device ID that the guest reads at a slot. */
export function idAt(machine: Machine, slot: string, way: ConfigWay = "ports"): number {
  return guestFunction(machine, slot, way).read(Config.VendorId, 4);
}

/** A function with nothing special about it, on a slot. */
export function addFunction(machine: Machine, slot: string, identity: Partial<Identity> = {}): PciFunction {
  const pci = new PciFunction({ vendor: 0x1234, device: 0x5678, classCode: 0x0c_0330, ...identity });
  const address = at(slot);
  machine.bus.attach(pci, (address >> 3) & 31, address & 7, address >> 8);
  return pci;
}

/** A function with 4 KiB of memory at `base` that reads `value` everywhere, and 16 ports at `ports` that do too. */
export function addMemoryFunction(
  machine: Machine,
  slot: string,
  base: number,
  ports: number,
  value: number,
): PciFunction {
  const pci = addFunction(machine, slot);
  pci.addMemoryBar(0, 4096, { readMmio: () => value, writeMmio: () => undefined });
  pci.addPortBar(1, 16, { readPort: () => value, writePort: () => undefined });
  pci.writeConfig(Config.Bar0, 4, base);
  pci.writeConfig(Config.Bar0 + 4, 4, ports);
  pci.writeConfig(Config.Command, 2, Command.Io | Command.Memory | Command.BusMaster);
  return pci;
}

/** Puts a bridge on a slot, as firmware numbers it: its buses are `secondary` to `subordinate`. */
export function addBridge(machine: Machine, slot: string, secondary: number, subordinate: number): PciBridge {
  const bridge = new PciBridge();
  const address = at(slot);
  machine.bus.attach(bridge, (address >> 3) & 31, address & 7, address >> 8);
  bridge.number(address >> 8, secondary, subordinate);
  return bridge;
}

/** Plugs the machine's card in behind a bridge, as device 0, with its registers where they were. */
export function plugCard(machine: Machine, bridge: PciBridge): void {
  const { pci } = machine.card;
  machine.bus.detach(pci);
  bridge.plug(pci, machine.bus, 0);
  pci.writeConfig(Config.Command, 2, Command.Io | Command.Memory);
}
