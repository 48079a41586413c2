import { in16, in32, in8, out16, out32, out8 } from "../metal";
import { PortHooks } from "./ports";

/** The machine's I/O ports as the guest sees them. */
export const portHooks = new PortHooks();

/** Ports that an access of the guest reaches: a device of Sheer's or the machine's own. Widths are 1, 2 or 4 bytes. */
class GuestPorts {
  read(port: u32, width: u32): u32 {
    const device = portHooks.find(port);
    if (device) return device.read(port, width);
    return width == 4 ? in32(port) : width == 2 ? in16(port) : in8(port);
  }

  write(port: u32, width: u32, value: u32): void {
    const device = portHooks.find(port);
    if (device) device.write(port, width, value);
    else if (width == 4) out32(port, value);
    else if (width == 2) out16(port, value);
    else out8(port, value);
  }
}

export const guestPorts = new GuestPorts();
