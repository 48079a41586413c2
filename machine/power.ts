import type { PortDevice } from "./ports.ts";

/** The PM1 control register (ACPI 6.5, 4.8.3.2.1), where QEMU's q35 has it. */
export const PM1_CONTROL_PORT = 0x604;

const SLP_EN = 1 << 13;
const SLP_TYP_SHIFT = 10;

/** Puts the machine to sleep; what for, the test sees. */
export class PowerControl implements PortDevice {
  #bytes = [0, 0];
  /** Each SLP_TYP with which the machine was told to sleep. */
  readonly sleeps: number[] = [];

  readPort(offset: number): number {
    return (this.#value & ~SLP_EN) >> (8 * offset);
  }

  writePort(offset: number, width: number, value: number): void {
    for (let i = 0; i < width && offset + i < this.#bytes.length; i++)
      this.#bytes[offset + i] = (value >> (8 * i)) & 0xff;
    if (this.#value & SLP_EN) this.sleeps.push((this.#value >> SLP_TYP_SHIFT) & 7);
    this.#bytes[1]! &= ~(SLP_EN >> 8);
  }

  get #value(): number {
    return this.#bytes[0]! | (this.#bytes[1]! << 8);
  }
}
