// What the entry paths leave for the core: src/boot/info.ts and src/vcpu/processors.ts give the layouts.
import type { Firmware } from "./firmware/firmware.ts";
import { Msr, type Msrs } from "./msrs.ts";

const BOOT_INFO = 0x1000;
const RFLAGS = 0x202n;
const CR0 = 0x8001_0033n;
const CR4 = 0x668n;
/** Bytes of a ProcessorStart before its context. */
const START_HEADER = 24;
/** What the stack of another processor of the firmware takes, and where the firmware has it. */
const STACK_BYTES = 0x40;
const STACKS = 0x2000;

/** Fills BootInfo; returns its address in linear memory. */
export function fillBootInfo(
  linear: DataView,
  firmware: Firmware,
  msrs: Msrs,
  block: { readonly base: number; readonly size: number },
): number {
  const stack = firmware.context.stack - 0x108;
  firmware.memory.write64(stack, BigInt(firmware.returnAddress));
  const words = [firmware.imageHandle, firmware.systemTable, block.base, block.size].map(BigInt);
  words.forEach((word, i) => linear.setBigUint64(BOOT_INFO + 8 * i, word, true));
  fillContext(linear, BOOT_INFO + 8 * words.length, firmware, msrs, stack, 0);
  return BOOT_INFO;
}

/** Fills the context of the ProcessorStart at a linear address, on processor `number` of the firmware. */
export function fillStart(linear: DataView, start: number, firmware: Firmware, msrs: Msrs, number: number): void {
  const stack = firmware.context.stack - STACKS - number * STACK_BYTES;
  firmware.memory.write64(stack, BigInt(firmware.loopOf(number)));
  fillContext(linear, start + START_HEADER, firmware, msrs, stack, number);
}

/** FirmwareContext. */
function fillContext(
  linear: DataView,
  at: number,
  { context }: Firmware,
  msrs: Msrs,
  stack: number,
  number: number,
): void {
  /** RBX, RBP, RSI, RDI, R12 to R15: told apart by their values, and the processors' from each other. */
  const processor = 0x1111_0000_0000_0000n | (BigInt(number) << 32n);
  const preserved = [3n, 5n, 6n, 7n, 12n, 13n, 14n, 15n].map((register) => processor | register);
  const words = [
    ...[BigInt(stack), ...preserved],
    ...[RFLAGS, CR0, BigInt(context.cr3), CR4, msrs.read(Msr.Efer)],
    ...[msrs.read(Msr.FsBase), msrs.read(Msr.GsBase)],
    ...[context.gdtBase, context.idtBase].map(BigInt),
  ];
  words.forEach((word, i) => linear.setBigUint64(at + 8 * i, word, true));
  const limits = at + 8 * words.length;
  linear.setUint32(limits, context.gdtLimit, true);
  linear.setUint32(limits + 4, context.idtLimit, true);
  const data = context.dataSelector;
  const selectors = [context.codeSelector, data, data, data, data, data, 0, 0];
  selectors.forEach((selector, i) => linear.setUint16(limits + 8 + 2 * i, selector, true));
}
