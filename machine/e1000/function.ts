// The card's function on the bus: what it is, and its base address registers by model.
import { allOnes } from "../bits.ts";
import type { MmioDevice } from "../memory.ts";
import { Config, PciFunction } from "../pci/function.ts";
import type { PortDevice } from "../ports.ts";
import type { ModelFacts } from "./models.ts";

const REGISTERS = 0x2_0000;

export function newFunction({ device, express, chipset }: ModelFacts): PciFunction {
  return new PciFunction({
    vendor: 0x8086,
    device,
    revision: express ? 0 : 3,
    classCode: 0x02_0000,
    subsystemVendor: 0x8086,
    subsystem: express ? 0 : 0x001e,
    interruptPin: 1,
    express: express && !chipset,
  });
}

export function addBars(pci: PciFunction, { bars }: ModelFacts, registers: MmioDevice): void {
  const flash: MmioDevice = { readMmio: (_offset, width) => allOnes(width), writeMmio: () => undefined };
  pci.addMemoryBar(0, REGISTERS, registers);
  if (bars === "pci") pci.addPortBar(1, 0x40, ioWindow(registers));
  if (bars !== "express" && bars !== "chipset") return;
  pci.addMemoryBar(1, bars === "express" ? REGISTERS : 0x1000, flash);
  pci.addPortBar(2, 0x20, ioWindow(registers));
}

/** Gives each its place, as the firmware does. */
export function placeBars(pci: PciFunction, { bars, msix }: ModelFacts, memory: number, ports: number): void {
  const place = (index: number, base: number): void => pci.writeConfig(Config.Bar0 + 4 * index, 4, base);
  place(0, memory);
  if (bars === "pci") place(1, ports);
  if (bars === "express" || bars === "chipset") {
    place(1, memory + REGISTERS);
    place(2, ports);
  }
  if (msix) place(3, memory + 2 * REGISTERS);
}

/** IOADDR at 0 chooses the register that IODATA at 4 reaches (8254x manual, 13.2.1.2). */
function ioWindow(registers: MmioDevice): PortDevice {
  let address = 0;
  return {
    readPort: (offset, width) => (offset >= 4 ? registers.readMmio(address, width) : address),
    writePort: (offset, width, value) => {
      if (offset >= 4) registers.writeMmio(address, width, value);
      else address = value % REGISTERS;
    },
  };
}
