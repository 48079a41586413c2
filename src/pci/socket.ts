import { PciFunction } from "./config";
import { ConfigDevice, ConfigFunction } from "./function";
import { Header } from "./header";
import { widthMask } from "./widths";

/**
 * The place of a mediated function that can be taken out and put in while the machine runs (PCI Express 3.0, 6.7). Each
 * access of the guest's looks whether the function is there: the guest sees it go when it goes, and when one of its kind
 * is back, the device in its place as after power-on, never the function itself. Another kind is the guest's as it is.
 */
export class Socket extends ConfigFunction {
  private present: bool = true;
  private readonly id: u32;

  constructor(
    pci: PciFunction,
    private readonly device: ConfigDevice,
  ) {
    super(pci, device.lock, device.alone);
    this.id = pci.read32(Header.VendorId);
  }

  read(offset: u32, width: u32): u32 {
    const id = this.look();
    if (id == this.id) return this.device.read(offset, width);
    return (offset & 3) + width > 4 ? widthMask(width) : this.pci.read(offset, width);
  }

  write(offset: u32, width: u32, value: u32): void {
    const id = this.look();
    if (id == this.id) this.device.write(offset, width, value);
    else if ((offset & 3) + width <= 4) this.pci.write(offset, width, value);
  }

  /** What is there now, which the device is told if it is another than before. */
  private look(): u32 {
    const id = this.pci.read32(Header.VendorId);
    const present = id == this.id;
    if (present != this.present) {
      this.present = present;
      if (present) this.device.plugged();
      else this.device.unplugged();
    }
    return id;
  }
}
