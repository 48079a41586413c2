// What the entry path leaves for the core: src/boot/info.ts gives the layout.
import type { Firmware } from "./firmware/firmware.ts";
import { Msr, type Msrs } from "./msrs.ts";

const BOOT_INFO = 0x1000;
const RFLAGS = 0x202n;
const CR0 = 0x8001_0033n;
const CR4 = 0x668n;

/** Fills BootInfo; returns its address in linear memory. */
export function fillBootInfo(
  linear: DataView,
  firmware: Firmware,
  msrs: Msrs,
  block: { readonly base: number; readonly size: number },
): number {
  const { context } = firmware;
  const stack = context.stack - 0x108;
  firmware.memory.write64(stack, BigInt(firmware.returnAddress));
  /** RBX, RBP, RSI, RDI, R12 to R15: told apart by their values. */
  const preserved = [3n, 5n, 6n, 7n, 12n, 13n, 14n, 15n].map((number) => 0x1111_0000_0000_0000n | number);
  const words = [
    ...[firmware.imageHandle, firmware.systemTable, block.base, block.size, stack].map(BigInt),
    ...preserved,
    ...[RFLAGS, CR0, BigInt(context.cr3), CR4, msrs.read(Msr.Efer)],
    ...[msrs.read(Msr.FsBase), msrs.read(Msr.GsBase)],
    ...[context.gdtBase, context.idtBase].map(BigInt),
  ];
  words.forEach((word, i) => linear.setBigUint64(BOOT_INFO + 8 * i, word, true));
  const limits = BOOT_INFO + 8 * words.length;
  linear.setUint32(limits, context.gdtLimit, true);
  linear.setUint32(limits + 4, context.idtLimit, true);
  const data = context.dataSelector;
  const selectors = [context.codeSelector, data, data, data, data, data, 0, 0];
  selectors.forEach((selector, i) => linear.setUint16(limits + 8 + 2 * i, selector, true));
  return BOOT_INFO;
}
