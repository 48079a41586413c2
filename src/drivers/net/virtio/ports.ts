import { widthMask } from "../../../pci/widths";
import { PortDevice } from "../../../vcpu/ports";
import { VirtioNet } from "./device";
import { CONFIG_WITH_MSIX, CONFIG_WITHOUT_MSIX, IoRegister } from "./layout";
import { QUEUE_SIZE } from "./queue";
import { QUEUES } from "./interrupts";

/**
 * The registers of the device in I/O space (virtio 0.9.5, 2.2.1). A register answers at its own offset: a read of
 * another width sees it cut or extended with zeros, a write of another width is ignored.
 */
export class VirtioPorts extends PortDevice {
  /** Where the registers are, as the guest has placed them. */
  base: u32 = 0;
  private selected: u32 = 0;

  constructor(private readonly device: VirtioNet) {
    super(device.lock);
  }

  read(port: u32, width: u32): u32 {
    const offset = port - this.base;
    const config = this.configOffset();
    return (offset < config ? this.readRegister(offset) : this.readConfig(offset - config, width)) & widthMask(width);
  }

  write(port: u32, width: u32, value: u32): void {
    const offset = port - this.base;
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
        return device.deviceFeatures();
      case IoRegister.GuestFeatures:
        return device.guestFeatures();
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

  private readConfig(offset: u32, width: u32): u32 {
    let value: u32 = 0;
    for (let i: u32 = 0; i < width; i++) value |= this.device.configByte(offset + i) << (i << 3);
    return value;
  }

  private writeDword(offset: u32, value: u32): void {
    if (offset == IoRegister.GuestFeatures) this.device.setGuestFeatures(value);
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
