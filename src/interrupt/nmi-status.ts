import { in8 } from "../metal";

/** System control port B of PCs, "NMI status and control" in the datasheets of Intel's and AMD's chipsets. */
const NMI_STATUS: u32 = 0x61;
const IOCHK_CAUSED: u32 = 1 << 6;
const SERR_CAUSED: u32 = 1 << 7;

/** Whether a device has caused an NMI that software has not dealt with yet. */
export function deviceCausedNmi(): bool {
  return (in8(NMI_STATUS) & (IOCHK_CAUSED | SERR_CAUSED)) != 0;
}
