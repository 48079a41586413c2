import { findCapability } from "./capability";
import { PciFunction } from "./config";
import { CapabilityId } from "./header";
import { MsixControl } from "./msix";

/** Message control and the registers' places in both layouts (PCI Local Bus 3.0, 6.8.1). */
const enum Msi {
  Control = 2,
  Address = 4,
  UpperAddress = 8,
  Data32 = 8,
  Data64 = 12,
}
const enum Control {
  Enable = 1 << 0,
  MultipleMessageEnable = 7 << 4,
  Address64 = 1 << 7,
  PerVectorMasking = 1 << 8,
}

/** Message-signalled interrupts of a real function, with one message. */
export class MsiCapability {
  constructor(
    private readonly pci: PciFunction,
    private readonly offset: u32,
  ) {}

  /** Sends `data` to `address` from now on. Disabled while it changes: a half-written message is never sent. */
  enable(address: u64, data: u32): void {
    this.disable();
    const control = this.pci.read16(this.offset + Msi.Control);
    const is64 = (control & Control.Address64) != 0;
    const dataAt = this.offset + (is64 ? Msi.Data64 : Msi.Data32);
    if (is64) this.pci.write32(this.offset + Msi.UpperAddress, (address >> 32) as u32);
    this.pci.write32(this.offset + Msi.Address, address as u32);
    this.pci.write16(dataAt, data);
    if (control & Control.PerVectorMasking) this.pci.write32(dataAt + 4, 0);
    this.pci.write16(this.offset + Msi.Control, (control & ~Control.MultipleMessageEnable) | Control.Enable);
  }

  get enabled(): bool {
    return (this.pci.read16(this.offset + Msi.Control) & Control.Enable) != 0;
  }

  disable(): void {
    const control = this.pci.read16(this.offset + Msi.Control);
    this.pci.write16(this.offset + Msi.Control, control & ~Control.Enable);
  }
}

/** Has a function interrupt by its pin, whatever its last driver had it do (PCI Local Bus 3.0, 6.8.3.3). */
export function disableMessages(pci: PciFunction): void {
  const msi = findCapability(pci, CapabilityId.Msi);
  if (msi) new MsiCapability(pci, msi).disable();
  const msix = findCapability(pci, CapabilityId.MsiX);
  if (msix) pci.write16(msix + Msi.Control, pci.read16(msix + Msi.Control) & ~MsixControl.Enable);
}
