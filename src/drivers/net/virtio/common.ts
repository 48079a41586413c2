import { VirtioNet } from "./device";
import { Common, QUEUES } from "./layout";

const LOW: u64 = 0xffff_ffff;

/**
 * The common configuration of the newer interface (virtio 1.2, 4.1.4.3). A register answers at its own offset: a read of
 * another width sees it cut or extended with zeros, a write of another width is ignored. A place of 64 bits is two
 * registers.
 */
export class CommonConfig {
  private deviceSelect: u32 = 0;
  private driverSelect: u32 = 0;
  private selected: u32 = 0;

  constructor(private readonly device: VirtioNet) {}

  read(offset: u32): u32 {
    const device = this.device;
    switch (offset) {
      case Common.DeviceFeatureSelect:
        return this.deviceSelect;
      case Common.DeviceFeature:
        return half(device.deviceFeatures(), this.deviceSelect);
      case Common.DriverFeatureSelect:
        return this.driverSelect;
      case Common.DriverFeature:
        return half(device.guestFeatures(), this.driverSelect);
      case Common.ConfigVector:
        return device.interrupts.getConfigVector();
      case Common.Queues:
        return QUEUES;
      case Common.DeviceStatus:
        return device.getStatus();
      case Common.ConfigGeneration:
        return device.fields.generation();
      case Common.QueueSelect:
        return this.selected;
      case Common.QueueVector:
        return device.interrupts.getQueueVector(this.selected);
      default:
        return this.readQueue(offset);
    }
  }

  write(offset: u32, width: u32, value: u32): void {
    if (width == 4) this.writeDword(offset, value);
    else if (width == 2) this.writeWord(offset, value & 0xffff);
    else if (offset == Common.DeviceStatus) this.setStatus(value & 0xff);
  }

  private readQueue(offset: u32): u32 {
    const queue = this.device.queue(this.selected);
    if (queue === null) return 0;
    switch (offset) {
      case Common.QueueSize:
        return queue.size;
      case Common.QueueEnable:
        return queue.enabled ? 1 : 0;
      case Common.QueueDescriptors:
      case Common.QueueDescriptors + 4:
        return half(queue.descriptors, (offset >> 2) & 1);
      case Common.QueueDriver:
      case Common.QueueDriver + 4:
        return half(queue.driver, (offset >> 2) & 1);
      case Common.QueueDevice:
      case Common.QueueDevice + 4:
        return half(queue.device, (offset >> 2) & 1);
      default:
        return 0; // all queues are notified at one place; a queue is reset at once
    }
  }

  private setStatus(status: u32): void {
    if (status == 0) this.selected = this.deviceSelect = this.driverSelect = 0;
    this.device.setModernStatus(status);
  }

  private writeDword(offset: u32, value: u32): void {
    const device = this.device;
    switch (offset) {
      case Common.DeviceFeatureSelect:
        this.deviceSelect = value;
        return;
      case Common.DriverFeatureSelect:
        this.driverSelect = value;
        return;
      case Common.DriverFeature:
        if (this.driverSelect < 2) device.setGuestFeatures(withHalf(device.guestFeatures(), this.driverSelect, value));
        return;
      default:
        this.writePlace(offset, value);
    }
  }

  /** A queue that is in use does not move. */
  private writePlace(offset: u32, value: u32): void {
    const queue = this.device.queue(this.selected);
    if (queue === null || queue.enabled) return;
    const upper = (offset >> 2) & 1;
    switch (offset & ~4) {
      case Common.QueueDescriptors:
        queue.descriptors = withHalf(queue.descriptors, upper, value);
        return;
      case Common.QueueDriver:
        queue.driver = withHalf(queue.driver, upper, value);
        return;
      case Common.QueueDevice:
        queue.device = withHalf(queue.device, upper, value);
    }
  }

  private writeWord(offset: u32, value: u32): void {
    const device = this.device;
    const queue = device.queue(this.selected);
    switch (offset) {
      case Common.ConfigVector:
        return device.interrupts.setConfigVector(value);
      case Common.QueueSelect:
        this.selected = value;
        return;
      case Common.QueueVector:
        return device.interrupts.setQueueVector(this.selected, value);
      case Common.QueueSize:
        if (queue !== null && !queue.enabled) queue.resize(value);
        return;
      case Common.QueueEnable:
        if (queue !== null && value == 1 && !queue.enabled) device.enableQueue(this.selected);
        return;
      case Common.QueueReset:
        if (queue !== null && value == 1) device.resetQueue(this.selected);
    }
  }
}

/** Bits 31:0 of a value, or 63:32, or nothing beyond that. */
function half(value: u64, index: u32): u32 {
  return index < 2 ? ((value >> ((index << 5) as u64)) as u32) : 0;
}
function withHalf(value: u64, index: u32, bits: u32): u64 {
  const shift = (index << 5) as u64;
  return (value & ~(LOW << shift)) | ((bits as u64) << shift);
}
