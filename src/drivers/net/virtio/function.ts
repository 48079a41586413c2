import { log } from "../../../log/log";
import { guestMemory } from "../../../memory/guest";
import { guestSpace } from "../../../memory/space";
import { Bar } from "../../../pci/bar";
import { CapabilityMap } from "../../../pci/capability";
import { PciFunction } from "../../../pci/config";
import { ConfigDevice } from "../../../pci/function";
import { ALL_ONES, BarFlag, CapabilityId, Command, Header, Status } from "../../../pci/header";
import { portHooks } from "../../../vcpu/io";
import { CAPABILITIES_END, VirtioCapabilities } from "./capabilities";
import { CardInterrupts } from "./card-interrupts";
import { VirtioNet } from "./device";
import { ETHERNET_CLASS, VIRTIO_NET_ID, VIRTIO_NET_SUBSYSTEM } from "./layout";
import { VirtioPorts } from "./ports";
import { VirtioWindow } from "./window";

// What the guest finds in configuration space in place of the card: BAR0 are the I/O registers, at the place and of the
// size of the card's own I/O registers, or without a place for the guest to give if the card has none; BAR1 (with BAR2 if
// it has 64 bits) is the window with the MSI-X table and the registers of the newer interface, at the place of the card's
// BAR0, which moves along with it, since Sheer reaches the card there.
const enum Place {
  IoBar = 0x10,
  MemoryBar = 0x14,
  UpperBar = 0x18,
  MsixControl = 0x40,
}
/** Bytes of I/O registers that virtio-net needs. */
export const IO_SIZE: u32 = 32;

const GUEST_COMMANDS: u32 =
  Command.IoSpace |
  Command.MemorySpace |
  Command.BusMaster |
  Command.ParityErrorResponse |
  Command.SerrEnable |
  Command.InterruptDisable;
/** Cache line size and latency timer: kept for the guest, without effect. */
const TIMER_BITS: u32 = 0x0000_ffff;
const MULTIFUNCTION: u32 = 0x0080_0000;
/** Capabilities lie below (PCI Local Bus 3.0, 6.7). */
const CONVENTIONAL_END: u32 = 0x100;

/** The device's face on the PCI bus. */
export class VirtioFunction extends ConfigDevice {
  private readonly ports: VirtioPorts;
  private readonly window: VirtioWindow;
  private readonly capabilities: VirtioCapabilities;
  private command: u32 = 0;
  private timers: u32 = 0;
  /** BARs as the guest has written them; what lies where is in `ports` and `window`. */
  private ioBar: u32;
  private memoryBar: u64;
  /** Halves of the memory BAR that have been written since it was whole: bit 0 the lower. */
  private halves: u32 = 0;
  /** Whether the device has been silenced: then it answers as if it were not there. */
  private dead: bool = false;
  /** Whether the card has been plugged in and not been started yet. */
  private cold: bool = false;

  constructor(
    pci: PciFunction,
    readonly device: VirtioNet,
    private readonly lines: CardInterrupts,
    io: Bar | null,
    private readonly memory: Bar,
  ) {
    super(pci, device.lock);
    const ports = new VirtioPorts(device, io === null ? IO_SIZE : (io.size as u32));
    const window = new VirtioWindow(device);
    this.ports = ports;
    this.window = window;
    this.capabilities = new VirtioCapabilities(ports, window, lines.hasMessages, io !== null, shownOf(pci));
    this.ioBar = io === null ? 0 : (io.base() as u32);
    this.memoryBar = memory.base();
  }

  /** Begins to answer in the card's place, all decoding off; false if its window cannot be hooked. */
  show(): bool {
    this.window.base = this.memoryBar;
    return guestSpace.hook(this.memoryBar, this.memory.size, this.window);
  }

  /** Gives the guest decoding and bus mastering as the firmware had left them for the card. */
  setCommand(command: u32): void {
    this.command = command & GUEST_COMMANDS;
    this.window.decoding = !this.dead && (command & Command.MemorySpace) != 0;
    this.placePorts();
    if (this.window.decoding) this.placeWindow();
    this.lines.route(this.command);
    if (this.cold && this.window.decoding && this.window.base) this.warmUp();
    this.device.setBusMaster((command & Command.BusMaster) != 0);
  }

  /** Silences the device for good; the guest finds it gone. Used when something in it is broken. */
  quiet(): void {
    this.dead = true;
    this.device.stop();
    this.lines.cut();
    this.window.decoding = false;
    this.placePorts();
  }

  /** The card is gone, and with it all that the guest had told it. */
  unplugged(): void {
    this.device.setStatus(0);
    this.device.interrupts.msix.reset();
    this.setCommand(0);
    guestSpace.unhook(this.window.base);
    this.window.base = this.memoryBar = 0;
    this.ioBar = this.timers = 0;
  }

  /** A card can be started when the guest has given it a place for its registers. */
  plugged(): void {
    this.cold = true;
  }

  private warmUp(): void {
    this.memory.move(this.window.base);
    this.lines.renew(this.command);
    this.cold = !this.device.card.start();
    if (this.cold) log.warn("the network card that was plugged in does not start").end();
  }

  readDword(register: u32): u32 {
    if (this.dead) return ALL_ONES;
    switch (register) {
      case Header.VendorId:
        return VIRTIO_NET_ID;
      case Header.Command:
        return this.command | (this.status() << 16);
      case Header.RevisionId:
        return ETHERNET_CLASS;
      case Header.CacheLineSize:
        return this.timers | (this.pci.read32(register) & MULTIFUNCTION);
      case Header.SubsystemVendorId:
        return VIRTIO_NET_SUBSYSTEM;
      case Header.InterruptLine:
        return this.pci.read32(register) & 0xffff;
      default:
        if (register < (Header.CapabilitiesPointer as u32)) return this.readBar(register);
        if (register == Header.CapabilitiesPointer) return this.capabilities.first;
        return this.capabilities.read(register, this.device.interrupts.msix.readControl());
    }
  }

  writeDword(register: u32, value: u32, mask: u32): void {
    if (this.dead) return;
    if (this.capabilities.covers(register)) return this.capabilities.write(register, value, mask);
    const merged = (this.readDword(register) & ~mask) | (value & mask);
    switch (register) {
      case Header.Command:
        return this.setCommand(merged);
      case Header.CacheLineSize:
        this.timers = merged & TIMER_BITS;
        return;
      case Place.IoBar:
        this.ioBar = merged & -this.ports.size;
        return this.placePorts();
      case Place.MemoryBar:
      case Place.UpperBar:
        return this.writeMemoryBar(register, merged);
      case Header.InterruptLine:
        this.pci.write8(register, merged & 0xff);
        return;
      case Place.MsixControl:
        if (this.lines.hasMessages && mask >> 16) this.writeMsixControl(merged >> 16);
    }
  }

  private status(): u32 {
    const line = this.pci.read16(Header.Status) & Status.InterruptStatus;
    return line | Status.CapabilitiesList;
  }

  private readBar(register: u32): u32 {
    switch (register) {
      case Place.IoBar:
        return this.ioBar | BarFlag.IoSpace;
      case Place.MemoryBar:
        return (this.memoryBar as u32) | (this.memory.is64 ? BarFlag.Type64 : 0);
      case Place.UpperBar:
        return (this.memoryBar >> 32) as u32;
      default:
        return 0;
    }
  }

  private writeMsixControl(control: u32): void {
    this.device.interrupts.msix.writeControl(control);
    if (this.lines.route(this.command)) this.device.poll();
  }

  /**
   * Nothing moves while decoding is off, nor to an address of which only half is new: with decoding on, a register of 64
   * bits is whole when both halves have been written, in either order, or when it is again what it was, as after sizing.
   */
  private writeMemoryBar(register: u32, value: u32): void {
    const size = this.memory.size;
    if (register == Place.MemoryBar) {
      this.memoryBar = ((this.memoryBar & ~(0xffff_ffff as u64)) | (value as u64)) & -size;
      this.halves |= this.memory.is64 ? 1 : 3;
    } else if (this.memory.is64) {
      this.memoryBar = (((value as u64) << 32) | (this.memoryBar & 0xffff_ffff)) & -size;
      this.halves |= 2;
    }
    if (this.window.decoding && this.halves == 3) this.placeWindow();
    if (this.memoryBar == this.window.base) this.halves = 0;
  }

  /** Hooks the I/O registers where the guest has placed them, while it has I/O decoding on. */
  private placePorts(): void {
    const wanted =
      !this.dead && this.command & Command.IoSpace && this.ioBar + this.ports.size <= 0x1_0000 ? this.ioBar : 0;
    if (wanted == this.ports.base) return;
    if (this.ports.base) portHooks.remove(this.ports.base);
    this.ports.base = wanted && portHooks.add(wanted, this.ports.size, this.ports) ? wanted : 0;
  }

  /** Moves the window and the card behind it to where the guest wants it, if that is a place that it may have. */
  private placeWindow(): void {
    const base = this.memoryBar;
    const size = this.memory.size;
    this.halves = 0;
    const sizing = (base as u32) == (-size as u32);
    if (base == 0 || base == this.window.base || sizing || !guestMemory.permits(base, size)) return;
    this.device.addressesChange();
    guestSpace.unhook(this.window.base);
    if (guestSpace.hook(base, size, this.window)) {
      this.window.base = base;
      this.memory.move(base);
      this.device.card.moved(base);
    } else if (this.window.base) {
      guestSpace.hook(this.window.base, size, this.window);
    }
  }
}

/** Of several functions of one device, systems expect all to be PCI Express or none: the card's capability is shown. */
function shownOf(pci: PciFunction): CapabilityMap {
  const shown = new CapabilityMap(pci, CAPABILITIES_END, CONVENTIONAL_END);
  if (pci.multifunction) shown.show(CapabilityId.Express);
  return shown;
}
