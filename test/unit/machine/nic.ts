import { E1000, type Model } from "../../../machine/e1000/card.ts";
import { Reg } from "../../../machine/e1000/registers.ts";
import { Machine } from "../../../machine/machine.ts";

export const RING = 0x10_0000;
export const BUFFERS = 0x20_0000;
export const DESCRIPTORS = 8;
const BUFFER = 0x1_0000;

/** A card with both rings set up as the manuals say, its link up, and short names for what tests do with it. */
export class Nic {
  readonly machine: Machine;
  readonly card: E1000;
  readonly rxRing = RING;
  readonly txRing = RING + 0x1000;
  #tail = 0;

  constructor(model: Model = "82574L", rctl = 0x0400_8002) {
    this.machine = new Machine({ cards: [{ model }] });
    this.card = this.machine.card;
    this.card.pci.writeConfig(4, 2, 6);
    for (const [ring, base] of [
      [this.rxRing, Reg.RDBAL],
      [this.txRing, Reg.TDBAL],
    ] as const) {
      this.write(base, ring);
      this.write(base + 8, 16 * DESCRIPTORS);
    }
    for (let i = 0; i < DESCRIPTORS; i++) this.memory.write64(this.rxRing + 16 * i, BigInt(this.buffer(i)));
    this.write(Reg.RDT, DESCRIPTORS - 1);
    this.write(Reg.CTRL, 0x40);
    this.write(Reg.EXTCNF_CTRL, 0x20); // so that tests may reset it
    this.write(Reg.RCTL, rctl);
    this.write(Reg.TCTL, 0xa);
    this.machine.clock.advance(5_000_000);
    this.read(Reg.ICR);
  }

  get memory(): Machine["memory"] {
    return this.machine.memory;
  }
  buffer(index: number): number {
    return BUFFERS + index * BUFFER;
  }
  read(register: number): number {
    return this.card.readMmio(register, 4);
  }
  write(register: number, value: number): void {
    this.card.writeMmio(register, 4, value);
  }

  /** The fields of a receive descriptor in legacy format. */
  received(index: number): { length: number; checksum: number; status: number; errors: number; special: number } {
    const at = this.rxRing + 16 * index;
    return {
      length: this.memory.read16(at + 8),
      checksum: this.memory.read16(at + 10),
      status: this.memory.read8(at + 12),
      errors: this.memory.read8(at + 13),
      special: this.memory.read16(at + 14),
    };
  }

  /** Puts a transmit descriptor into the ring: two words of 64 bits. */
  descriptor(low: bigint, high: bigint): number {
    const index = this.#tail;
    this.memory.write64(this.txRing + 16 * index, low);
    this.memory.write64(this.txRing + 16 * index + 8, high);
    this.#tail = (index + 1) % DESCRIPTORS;
    return index;
  }

  /** Legacy descriptor: length, CSO, command, CSS, special (8254x manual, table 3-8). */
  legacy(
    address: number,
    length: number,
    command: number,
    more: { cso?: number; css?: number; special?: number } = {},
  ): number {
    const { cso = 0, css = 0, special = 0 } = more;
    const high = [length, 0, cso, command, 0, css, special] as const;
    const word = (high[0] | (high[2] << 16)) >>> 0;
    return this.descriptor(
      BigInt(address),
      BigInt(word) | (BigInt(command) << 24n) | (BigInt(css) << 40n) | (BigInt(special) << 48n),
    );
  }

  /** Moves the tail behind the last descriptor: the card works. */
  transmit(): void {
    this.write(Reg.TDT, this.#tail);
  }

  sent(): Uint8Array[] {
    return this.card.wire.take();
  }
}

/** A frame for a card: addresses, EtherType, then a counted pattern. */
export function frameTo(mac: readonly number[], length: number, type = 0x88b5): Uint8Array {
  const frame = Uint8Array.from({ length }, (_, i) => i & 0xff);
  frame.set(mac);
  frame.set([2, 0, 0, 0, 0, 1, type >> 8, type & 0xff], 6);
  return frame;
}
