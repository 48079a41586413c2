import { in8, out8, pause, readTsc } from "../metal";

/** Reset control register of PC chipsets: full reset by 0 then 6, as ACPI's reset register commonly names it. */
const RESET_CONTROL: u32 = 0xcf9;
/** The keyboard controller's command port; command 0xFE pulses the processor's reset line. */
const KEYBOARD_COMMAND: u32 = 0x64;
const PULSE_RESET: u32 = 0xfe;
const PATIENCE: u64 = 1_000_000_000;

/** Resets the whole machine, as the shutdown of an unvirtualised processor does on a PC. Does not return there. */
export function resetMachine(): void {
  out8(RESET_CONTROL, 0x02);
  out8(RESET_CONTROL, 0x06);
  const start = readTsc();
  while (readTsc() - start < PATIENCE && in8(KEYBOARD_COMMAND) & 2) pause();
  out8(KEYBOARD_COMMAND, PULSE_RESET);
}
