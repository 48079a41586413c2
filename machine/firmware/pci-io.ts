// EFI_PCI_IO_PROTOCOL for each PCI function: UEFI Specification 2.10, 14.4.
import type { Width } from "../bits.ts";
import type { PciFunction } from "../pci/function.ts";
import type { TableBuilder } from "./tables.ts";
import { EfiStatus, PCI_IO } from "./uefi.ts";

/** Lays the protocol of one function out; returns its address. */
export function buildPciIo(builder: TableBuilder, pci: PciFunction): number {
  const { memory } = builder;
  /** Width 0, 1, 2: each of `count` elements of 1, 2, 4 bytes. */
  const configAccess =
    (write: boolean) =>
    ([, width, offset, count, buffer]: readonly bigint[]): bigint => {
      if (width! > 2n) return EfiStatus.InvalidParameter;
      const bytes = (1 << Number(width)) as Width;
      for (let i = 0; i < Number(count); i++) {
        const at = Number(buffer) + i * bytes;
        const register = Number(offset) + i * bytes;
        if (write) pci.writeConfig(register, bytes, memory.read(at, bytes));
        else memory.write(at, bytes, pci.readConfig(register, bytes));
      }
      return EfiStatus.Success;
    };
  const getLocation = ([, ...results]: readonly bigint[]): bigint => {
    const location = [0, pci.address >> 8, (pci.address >> 3) & 31, pci.address & 7];
    location.forEach((value, i) => memory.write64(Number(results[i]), BigInt(value)));
    return EfiStatus.Success;
  };
  const bodies: Partial<Record<(typeof PCI_IO)[number], [number, (args: readonly bigint[]) => bigint]>> = {
    "Pci.Read": [5, configAccess(false)],
    "Pci.Write": [5, configAccess(true)],
    GetLocation: [5, getLocation],
  };
  const functions = PCI_IO.map((name) => {
    const [arity, body] = bodies[name] ?? [0, () => EfiStatus.Unsupported];
    return builder.define({ name: `PciIo.${name}`, arity, body });
  });
  return builder.words([...functions, 0, 0]);
}
