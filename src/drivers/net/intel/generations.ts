import { waitMicroseconds } from "../wait";
import { Generation, isChipset, isPci } from "./ids";
import { Register, Registers } from "./registers";

// What the generations want different at a reset and before they work. Registers are those of the 82571 to 82574 manuals
// and of the chipsets' datasheets; bits without a name are wanted by Intel's specification updates. PHYs, their power
// saving (ULP) and the semaphores that guard them are left as the firmware has them.

/** Extended configuration control: the driver's claim to the management interface. */
const MDIO_OWNERSHIP: u32 = 1 << 5;
const EECD_AUTO_READ_DONE: u32 = 1 << 9;
const STATUS_LAN_INIT_DONE: u32 = 1 << 9;
/** Microseconds until an 82540, an 82541 and a chipset have read their EEPROM after a reset. */
const RELOAD_82540: u64 = 5_000;
const RELOAD_82541: u64 = 20_000;
/** A chipset hangs when it is touched earlier. */
const CHIPSET_SILENCE: u64 = 20_000;
/** Polls for each of these: some 10 ms. */
const MAXIMUM_POLLS: u32 = 20_000;

/** The descriptor rings of an I219 must be empty when it is reset: it says so in configuration space. */
export const RING_STATUS: u32 = 0xe4;
export const FLUSH_REQUIRED: u32 = 1 << 8;
const DISABLE_MULR_FIX: u32 = 1 << 13;

/** Prepares a reset of the MAC. */
export function beforeReset(registers: Registers, generation: Generation): void {
  if (generation == Generation.Pcie82573 || generation == Generation.Pcie82574) {
    // The firmware must not be using the management interface when the reset comes; it owns that again afterwards.
    registers.set(Register.EXTCNF_CTRL, MDIO_OWNERSHIP);
    registers.waitFor(Register.EXTCNF_CTRL, MDIO_OWNERSHIP, MDIO_OWNERSHIP, MAXIMUM_POLLS);
  } else if (generation == Generation.I219) {
    registers.set(Register.FEXTNVM11, DISABLE_MULR_FIX);
  }
}

/** Waits until the card can be touched and has read its EEPROM: that overwrites what is written earlier. */
export function afterReset(registers: Registers, generation: Generation): void {
  if (isChipset(generation)) {
    waitMicroseconds(CHIPSET_SILENCE);
    registers.waitFor(Register.STATUS, STATUS_LAN_INIT_DONE, STATUS_LAN_INIT_DONE, MAXIMUM_POLLS);
    return;
  }
  waitMicroseconds(generation == Generation.Pci ? RELOAD_82540 : generation == Generation.Pci82541 ? RELOAD_82541 : 1);
  if (!isPci(generation)) {
    registers.waitFor(Register.EECD, EECD_AUTO_READ_DONE, EECD_AUTO_READ_DONE, MAXIMUM_POLLS);
  }
  if (generation == Generation.Pcie82573 || generation == Generation.Pcie82574) {
    registers.clear(Register.EXTCNF_CTRL, MDIO_OWNERSHIP);
  }
}

const enum Tarc0 {
  /** Weights of the descriptor queues. */
  Weights = 0xf << 27,
  Requests82571 = 0xf << 23,
  Requests82574 = 1 << 26,
  RequestsChipset = (1 << 23) | (1 << 24) | (1 << 26) | (1 << 27),
  /** Requests under way at once: three hang an I219. */
  Requests = 3 << 28,
  TwoRequests = 1 << 29,
}
const enum Tarc1 {
  Set82571 = (1 << 22) | (1 << 24) | (1 << 25) | (1 << 26),
  Clear82571 = 3 << 29,
  SetChipset = (1 << 24) | (1 << 26) | (1 << 30),
  /** To be the opposite of TCTL.MULR. */
  SingleRequest = 1 << 28,
}
const CTRL_MEMORY_ERRORS: u32 = 1 << 19;
const CTRL_CLOCK_GATING: u32 = 1 << 29;
const CTRL_EXT_BIT_22: u32 = 1 << 22;
const CTRL_EXT_CLOCK_GATING: u32 = 1 << 23;
const CTRL_EXT_PHY_POWER_DOWN: u32 = 1 << 20;
const RFCTL_NO_NFS: u32 = 3 << 6;
const GCR_BIT_22: u32 = 1 << 22;
const ECC: u32 = 1 << 16;
const IOSF_BIT_16: u32 = 1 << 16;

/** Sets what has to be set before the rings are started; the send control register will have MULR. */
export function setBits(registers: Registers, generation: Generation): void {
  if (isPci(generation)) return;
  registers.set(Register.TXDCTL1, CTRL_EXT_BIT_22);
  if (isChipset(generation)) return setChipsetBits(registers, generation);
  registers.clear(Register.TARC0, Tarc0.Weights);
  if (generation == Generation.Pcie82571) {
    registers.set(Register.TARC0, Tarc0.Requests82571);
    registers.clear(Register.TARC1, Tarc1.Clear82571 | Tarc1.SingleRequest);
    registers.set(Register.TARC1, Tarc1.Set82571);
    return;
  }
  registers.clear(Register.CTRL, CTRL_CLOCK_GATING);
  registers.clear(Register.CTRL_EXT, CTRL_EXT_CLOCK_GATING);
  registers.set(Register.CTRL_EXT, CTRL_EXT_BIT_22);
  if (generation == Generation.Pcie82573) return;
  registers.set(Register.TARC0, Tarc0.Requests82574);
  registers.set(Register.GCR, GCR_BIT_22);
  registers.set(Register.GCR2, 1);
}

function setChipsetBits(registers: Registers, generation: Generation): void {
  const powerDown = generation >= Generation.Pch ? CTRL_EXT_PHY_POWER_DOWN : 0;
  registers.set(Register.CTRL_EXT, CTRL_EXT_BIT_22 | powerDown);
  registers.set(Register.TARC0, Tarc0.RequestsChipset);
  registers.clear(Register.TARC1, Tarc1.SingleRequest);
  registers.set(Register.TARC1, Tarc1.SetChipset);
  registers.set(Register.RFCTL, RFCTL_NO_NFS);
  if (generation >= Generation.I217) {
    registers.set(Register.PBECCSTS, ECC);
    registers.set(Register.CTRL, CTRL_MEMORY_ERRORS);
  }
  if (generation >= Generation.I219) {
    registers.set(Register.IOSFPC, IOSF_BIT_16);
    registers.clear(Register.TARC0, Tarc0.Requests);
    registers.set(Register.TARC0, Tarc0.TwoRequests);
  }
}
