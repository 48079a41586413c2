import { carryOutPort } from "../decode/emulate";
import { Outcome } from "../decode/outcome";
import { guestSpace } from "../memory/space";
import { readPort, writePort } from "../pci/widths";
import { PortHooks } from "./ports";
import { Exception, Registers, Vcpu } from "./vcpu";

/** The machine's I/O ports as the guest sees them. */
export const portHooks = new PortHooks();

/**
 * Ports that an access of the guest reaches: a device of Sheer's or the machine's own. Widths are 1, 2 or 4 bytes. An
 * access across the border of a hook goes by bytes, as a bus splits it between devices.
 */
class GuestPorts {
  read(port: u32, width: u32): u32 {
    const device = portHooks.findWhole(port, width);
    if (device) return device.readLocked(port, width);
    if (width > 1 && portHooks.touches(port, width)) return this.readBytes(port, width);
    return readPort(port, width);
  }

  write(port: u32, width: u32, value: u32): void {
    const device = portHooks.findWhole(port, width);
    if (device) device.writeLocked(port, width, value);
    else if (width > 1 && portHooks.touches(port, width)) this.writeBytes(port, width, value);
    else writePort(port, width, value);
  }

  private readBytes(port: u32, width: u32): u32 {
    let value: u32 = 0;
    for (let i: u32 = 0; i < width; i++) value |= this.read((port + i) & 0xffff, 1) << (i << 3);
    return value;
  }

  private writeBytes(port: u32, width: u32, value: u32): void {
    for (let i: u32 = 0; i < width; i++) this.write((port + i) & 0xffff, 1, (value >> (i << 3)) & 0xff);
  }
}

export const guestPorts = new GuestPorts();

/** IN to, or OUT from, AL, AX or EAX. */
export function accessPort(registers: Registers, port: u32, width: u32, input: bool): void {
  if (!input) {
    const value = registers.rax as u32;
    return guestPorts.write(port, width, width == 4 ? value : width == 2 ? value & 0xffff : value & 0xff);
  }
  const value = guestPorts.read(port, width) as u64;
  if (width == 4) registers.rax = value;
  else if (width == 2) registers.rax = (registers.rax & ~0xffff) | value;
  else registers.rax = (registers.rax & ~0xff) | value;
}

/** INS or OUTS: the decoder finds segment, address size and repetition itself, not every processor reports them. */
export function accessPortByString(vcpu: Vcpu): void {
  const outcome = carryOutPort(vcpu, guestSpace.bus);
  if (outcome == Outcome.Done) vcpu.finishInstruction();
  else if (outcome == Outcome.Unknown) vcpu.raise(Exception.InvalidOpcode);
}
