import { pause, physOf, physRead64, physWrite64 } from "../../src/metal";
import { takePages } from "../../src/memory/frames";
import { Attacker, OTHER, PATIENCE, turnOn } from "./attacker";

const EDU: u32 = 0x11e8_1234;
/** Registers and the device's own memory (QEMU's docs/specs/edu). */
const enum Register {
  Source = 0x80,
  Destination = 0x88,
  Count = 0x90,
  Command = 0x98,
}
const BUFFER: u64 = 0x4_0000;
const START: u64 = 1 << 0;
const TO_MEMORY: u64 = 1 << 1;
const LENGTH: u64 = 64;

/** QEMU's device for teaching, which copies between memory and a buffer of its own. */
export class Edu extends Attacker {
  private registers: u64 = 0;

  begin(): bool {
    this.registers = turnOn(EDU);
    return this.registers != 0;
  }

  put(address: u64, value: u64): bool {
    const page = physOf(takePages(1));
    for (let i: u64 = 0; i < LENGTH; i += 8) physWrite64(page + i, value);
    return this.copy(page, BUFFER, 0) && this.copy(BUFFER, address, TO_MEMORY);
  }

  get(address: u64): u64 {
    const page = physOf(takePages(1));
    const copied = this.put(page, OTHER) && this.copy(address, BUFFER, 0) && this.copy(BUFFER, page, TO_MEMORY);
    return copied ? physRead64(page) : OTHER;
  }

  private copy(from: u64, to: u64, direction: u64): bool {
    const registers = this.registers;
    physWrite64(registers + Register.Source, from);
    physWrite64(registers + Register.Destination, to);
    physWrite64(registers + Register.Count, LENGTH);
    physWrite64(registers + Register.Command, START | direction);
    for (let polls: u32 = 0; polls < PATIENCE; polls++) {
      if (!(physRead64(registers + Register.Command) & START)) return true;
      pause();
    }
    return false;
  }
}
