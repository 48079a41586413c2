import type { E1000 } from "../e1000/card.ts";
import { Rctl, Reg } from "../e1000/registers.ts";
import { Command, Config } from "../pci/function.ts";
import type { PhysicalMemory } from "../memory.ts";

const DESCRIPTORS = 8;
const BUFFER = 2048;

/** The firmware's own driver of a network card: it leaves the card receiving into the firmware's memory. */
export function startNicDriver(memory: PhysicalMemory, card: E1000, ring: number): void {
  card.pci.writeConfig(Config.Command, 2, Command.Io | Command.Memory | Command.BusMaster);
  for (let i = 0; i < DESCRIPTORS; i++) memory.write64(ring + 16 * i, BigInt(ring + 4096 + i * BUFFER));
  const setUp: readonly [number, number][] = [
    [Reg.RDBAL, ring],
    [Reg.RDBAH, 0],
    [Reg.RDLEN, 16 * DESCRIPTORS],
    [Reg.RDT, DESCRIPTORS - 1],
    [Reg.RCTL, Rctl.Enable | Rctl.AcceptBroadcast],
    [Reg.CTRL, 0x40],
  ];
  for (const [register, value] of setUp) card.writeMmio(register, 4, value);
}

/** Its Stop function: the card is quiet and no bus master any more. */
export function stopNicDriver(card: E1000): void {
  card.writeMmio(Reg.IMC, 4, 0xffff_ffff);
  card.writeMmio(Reg.RCTL, 4, 0);
  card.pci.writeConfig(Config.Command, 2, card.pci.command & ~Command.BusMaster);
}

/** Pages that `startNicDriver` needs at `ring`. */
export const NIC_DRIVER_PAGES = 1 + (DESCRIPTORS * BUFFER) / 4096;
