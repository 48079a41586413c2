import { pause } from "../../../metal";
import { findCapability } from "../../../pci/capability";
import { CapabilityId, Header } from "../../../pci/header";
import { waitMicroseconds } from "../wait";
import { Chip, hasPowerManagement } from "./ids";
import { CardMemory, ENABLE, GONE, HostControl, MAGIC, ModeControl, Register, Registers } from "./registers";

const enum MiscConfiguration {
  Reset = 1 << 0,
  /** Keeps the PHY's power where no power management unit does. */
  KeepPhyPower = 1 << 26,
  /** Keeps the PCI Express core out of the reset. */
  KeepPcie = 1 << 29,
}
const enum Arbitration {
  Request = 1 << 1,
  Release = 1 << 5,
  Won = 1 << 9,
}
/** Least time for which a card in reset is not to be touched (57785 guide: 1 ms). */
const RESET_TIME: u64 = 1000;
/** Polls for the NVRAM, some 50 ms; for the boot code, some seconds. Without NVRAM there may be no boot code at all. */
const ARBITRATION_POLLS: u32 = 50_000;
const BOOT_POLLS: u32 = 1_500_000;

/** Device control of the PCI Express capability: what lets a write overtake one before it, and caches be passed by. */
const DEVICE_CONTROL: u32 = 8;
const LOOSE_ORDER: u32 = (1 << 4) | (1 << 11);

/** How registers look, and that INTx is off. */
export const HOST_CONTROL: u32 =
  HostControl.MaskInterrupt |
  HostControl.WordSwap |
  HostControl.StateWritable |
  HostControl.IndirectAccess |
  HostControl.TaggedStatus;
/** Data as they are, descriptors and the status block as words of a little-endian host. */
export const BYTE_ORDER: u32 = ModeControl.ByteSwapData | ModeControl.WordSwapData | ModeControl.WordSwapNonFrame;

/** Makes the card's memory and registers look as this driver wants them; also before a reset. */
export function openCard(registers: Registers): void {
  registers.pci.write32(Register.MiscHostControl, HOST_CONTROL);
  registers.write(Register.MemoryArbiter, ENABLE);
}

/**
 * Resets all but the PHY and the PCI Express core, and waits for the boot code. The mailbox tells it to leave the PHY alone
 * (5722 guide, "Firmware Mailbox"), and the NVRAM must not be in use when the reset comes. False if the card is gone.
 */
export function resetCard(registers: Registers, chip: Chip): bool {
  const pci = registers.pci;
  openCard(registers);
  registers.writeMemory(CardMemory.FirmwareMailbox, MAGIC);
  lockNvram(registers);
  registers.write(Register.FastBootPc, 0);
  const command = pci.read16(Header.Command);
  const keepPhy = hasPowerManagement(chip) ? 0 : MiscConfiguration.KeepPhyPower;
  registers.write(Register.MiscConfiguration, MiscConfiguration.Reset | MiscConfiguration.KeepPcie | keepPhy);
  waitMicroseconds(RESET_TIME);
  tightenOrder(registers);
  // The reset has turned decoding and bus mastering off, and INTx on.
  pci.write32(Register.MiscHostControl, HOST_CONTROL);
  pci.write16(Header.Command, command);
  if (!registers.present()) return false;
  registers.write(Register.MemoryArbiter, ENABLE);
  registers.write(Register.ModeControl, BYTE_ORDER);
  registers.write(Register.MacMode, 0);
  return waitForBootCode(registers);
}

function lockNvram(registers: Registers): void {
  registers.write(Register.NvramArbitration, Arbitration.Request);
  for (let polls: u32 = 0; polls < ARBITRATION_POLLS; polls++) {
    if (registers.read(Register.NvramArbitration) & Arbitration.Won) return;
    pause();
  }
  registers.write(Register.NvramArbitration, Arbitration.Release);
}

/** What the card tells must not come before what it tells of. */
function tightenOrder(registers: Registers): void {
  const express = findCapability(registers.pci, CapabilityId.Express);
  if (!express) return;
  const control = registers.pci.read16(express + DEVICE_CONTROL);
  registers.pci.write16(express + DEVICE_CONTROL, control & ~LOOSE_ORDER);
}

/** A card without boot code never answers, and works all the same. */
function waitForBootCode(registers: Registers): bool {
  registers.write(Register.MemoryWindowBase, CardMemory.FirmwareMailbox);
  let answer: u32 = 0;
  for (let polls: u32 = 0; polls < BOOT_POLLS && answer != ~MAGIC && answer != GONE; polls++) {
    answer = registers.read(Register.MemoryWindowData);
    pause();
  }
  registers.write(Register.MemoryWindowBase, 0);
  return answer != GONE || registers.present();
}
