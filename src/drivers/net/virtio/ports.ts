import { widthMask } from "../../../pci/widths";
import { PortDevice } from "../../../vcpu/ports";
import { VirtioNet } from "./device";
import { CONFIG_WITH_MSIX, CONFIG_WITHOUT_MSIX, IoRegister, QUEUES } from "./layout";
import { QUEUE_SIZE } from "./queue";

/**
 * The registers of the device in I/O space (virtio 0.9.5, 2.2.1). A register answers at its own offset: a read of
 * another width sees it cut or extended with zeros, a write of another width is ignored.
 */
export class VirtioPorts extends PortDevice {
  /** Where the registers are, as the guest has placed them. */
  base: u32 = 0;
  private selected: u32 = 0;

  /** `size` is how many bytes of ports the registers take. */
  constructor(
    private readonly device: VirtioNet,
    readonly size: u32,
  ) {
    super(device.lock);
  }

  read(port: u32, width: u32): u32 {
    return this.readAt(port - this.base, width);
  }
  write(port: u32, width: u32, value: u32): void {
    this.writeAt(port - this.base, width, value);
  }

  /** Reads at an offset into the registers. */
  readAt(offset: u32, width: u32): u32 {
    const config = this.configOffset();
    return (
      (offset < config ? this.readRegister(offset) : (this.device.fields.read(offset - config, width) as u32)) &
      widthMask(width)
    );
  }

  writeAt(offset: u32, width: u32, value: u32): void {
    if (width == 4) this.writeDword(offset, value);
    else if (width == 2) this.writeWord(offset, value);
    else if (offset == IoRegister.DeviceStatus) this.setStatus(value);
  }

  private configOffset(): u32 {
    return this.device.interrupts.msix.enabled ? CONFIG_WITH_MSIX : CONFIG_WITHOUT_MSIX;
  }

  private readRegister(offset: u32): u32 {
    const device = this.device;
    switch (offset) {
      case IoRegister.DeviceFeatures:
        return device.deviceFeatures() as u32;
      case IoRegister.GuestFeatures:
        return device.guestFeatures() as u32;
      case IoRegister.QueuePfn:
        return device.queuePfn(this.selected);
      case IoRegister.QueueSize:
        return this.selected < QUEUES ? QUEUE_SIZE : 0;
      case IoRegister.QueueSelect:
        return this.selected;
      case IoRegister.DeviceStatus:
        return device.getStatus();
      case IoRegister.IsrStatus:
        return device.readIsr();
      case IoRegister.ConfigVector:
        return device.interrupts.getConfigVector();
      case IoRegister.QueueVector:
        return device.interrupts.getQueueVector(this.selected);
      default:
        return 0;
    }
  }

  private writeDword(offset: u32, value: u32): void {
    if (offset == IoRegister.GuestFeatures) this.device.setGuestFeatures(value as u64);
    else if (offset == IoRegister.QueuePfn) this.device.setQueuePfn(this.selected, value);
  }

  private writeWord(offset: u32, value: u32): void {
    const word = value & 0xffff;
    if (offset == IoRegister.QueueNotify) return this.device.notify(word);
    if (offset == IoRegister.QueueSelect) {
      this.selected = word;
    } else if (this.device.interrupts.msix.enabled) {
      if (offset == IoRegister.ConfigVector) this.device.interrupts.setConfigVector(word);
      else if (offset == IoRegister.QueueVector) this.device.interrupts.setQueueVector(this.selected, word);
    }
  }

  private setStatus(value: u32): void {
    const status = value & 0xff;
    if (status == 0) this.selected = 0;
    this.device.setStatus(status);
  }
}
