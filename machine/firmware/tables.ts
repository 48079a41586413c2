import type { PhysicalMemory } from "../memory.ts";
import { crc32 } from "../net/frames.ts";

/** A function of the firmware: what it is called, how many arguments it takes, what it does. */
export interface FirmwareFunction {
  readonly name: string;
  readonly arity: number;
  readonly body: (args: readonly bigint[]) => bigint;
}

const ALIGNMENT = 16;

/** Lays tables out in the firmware's own memory and gives its functions addresses. */
export class TableBuilder {
  readonly functions = new Map<number, FirmwareFunction>();
  readonly memory: PhysicalMemory;
  #data: number;
  #code: number;

  constructor(memory: PhysicalMemory, data: number, code: number) {
    this.memory = memory;
    this.#data = data;
    this.#code = code;
  }

  reserve(bytes: number): number {
    const at = this.#data;
    this.#data += Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
    return at;
  }

  /** Memory that holds these bytes. */
  bytes(content: ArrayLike<number>): number {
    const at = this.reserve(content.length);
    this.memory.writeBytes(at, content);
    return at;
  }

  /** A zero-terminated UCS-2 string. */
  text(content: string): number {
    return this.bytes(ucs2(content));
  }

  /** A table of 64-bit words. */
  words(content: readonly (number | bigint)[]): number {
    const at = this.reserve(content.length * 8);
    content.forEach((word, i) => this.memory.write64(at + 8 * i, BigInt(word)));
    return at;
  }

  /** The address at which a function is called. */
  define(fn: FirmwareFunction): number {
    const at = this.#code;
    this.#code += ALIGNMENT;
    this.functions.set(at, fn);
    return at;
  }

  /** EFI_TABLE_HEADER (UEFI 4.2) at the start of a finished table of `size` bytes. */
  header(table: number, signature: bigint, size: number): void {
    this.memory.write64(table, signature);
    this.memory.write32(table + 8, 0x0002_0046);
    this.memory.write32(table + 12, size);
    this.memory.write64(table + 16, 0n);
    this.memory.write32(table + 16, crc32(this.memory.readBytes(table, size)));
  }
}

/** UCS-2 with its terminating zero. */
export function ucs2(text: string): Uint8Array {
  const bytes = new Uint8Array(2 * text.length + 2);
  for (let i = 0; i < text.length; i++) new DataView(bytes.buffer).setUint16(2 * i, text.charCodeAt(i), true);
  return bytes;
}

export function readUcs2(memory: PhysicalMemory, address: number): string {
  let text = "";
  for (let at = address; ; at += 2) {
    const code = memory.read16(at);
    if (code === 0 || text.length > 4096) return text;
    text += String.fromCharCode(code);
  }
}
