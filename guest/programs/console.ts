import { in8, out8, pause } from "../../src/metal";

const COM1: u32 = 0x3f8;
const LINE_STATUS: u32 = 5;
const TRANSMITTER_EMPTY: u32 = 1 << 5;

/** Writes ASCII text to the first UART, as the firmware has set it up. */
export function write(text: string): void {
  for (let i = 0; i < text.length; i++) writeCode(text.charCodeAt(i));
}

export function writeNumber(value: u64): void {
  if (value >= 10) writeNumber(value / 10);
  writeCode(48 + ((value % 10) as i32));
}

function writeCode(code: i32): void {
  if (code == 10) writeCode(13);
  while (!(in8(COM1 + LINE_STATUS) & TRANSMITTER_EMPTY)) pause();
  out8(COM1, code);
}
