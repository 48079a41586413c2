// A guest's use of the I/O APIC for the INTx line of a function.
import { IOAPIC_BASE } from "../ioapic.ts";
import type { Machine } from "../machine.ts";
import type { PciFunction } from "../pci/function.ts";

const REDIRECTION = 0x10;
const LEVEL_ACTIVE_LOW = 0xa000;

/** Routes a function's INTx to a vector of this processor and sets its handler. */
export function routeLine(machine: Machine, pci: PciFunction, vector: number, handler: () => void): void {
  const { guest } = machine;
  const entry = REDIRECTION + 2 * machine.bus.inputOf(pci);
  guest.write32(IOAPIC_BASE, entry + 1);
  guest.write32(IOAPIC_BASE + 0x10, 0);
  guest.write32(IOAPIC_BASE, entry);
  guest.write32(IOAPIC_BASE + 0x10, LEVEL_ACTIVE_LOW | vector);
  guest.processor.handlers.set(vector, handler);
}
