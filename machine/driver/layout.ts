// Names and numbers of virtio and its network card: Virtio PCI Card Specification 0.9.5, and Virtual I/O Device 1.2.

/** The header in the I/O BAR (2.2.2). */
export const Virtio = {
  DeviceFeatures: 0,
  GuestFeatures: 4,
  QueueAddress: 8,
  QueueSize: 12,
  QueueSelect: 14,
  QueueNotify: 16,
  Status: 18,
  Isr: 19,
  ConfigVector: 20,
  QueueVector: 22,
} as const;

/** The common configuration structure (1.2: 4.1.4.3). */
export const Common = {
  DeviceFeatureSelect: 0x00,
  DeviceFeature: 0x04,
  DriverFeatureSelect: 0x08,
  DriverFeature: 0x0c,
  ConfigVector: 0x10,
  Queues: 0x12,
  Status: 0x14,
  ConfigGeneration: 0x15,
  QueueSelect: 0x16,
  QueueSize: 0x18,
  QueueVector: 0x1a,
  QueueEnable: 0x1c,
  QueueNotifyOffset: 0x1e,
  QueueDescriptors: 0x20,
  QueueDriver: 0x28,
  QueueDevice: 0x30,
  QueueNotifyData: 0x38,
  QueueReset: 0x3a,
} as const;

/** Types of struct virtio_pci_cap (1.2: 4.1.4). */
export const CapType = { Common: 1, Notify: 2, Isr: 3, Device: 4, Access: 5 } as const;

export const DeviceStatus = {
  Acknowledge: 1,
  Driver: 2,
  DriverOk: 4,
  FeaturesOk: 8,
  NeedsReset: 64,
  Failed: 128,
} as const;
/** Feature bit 32, as a part of the upper half. */
export const VERSION_1 = 1 << 0;

export const NetFeature = {
  Checksum: 1 << 0,
  GuestChecksum: 1 << 1,
  Mtu: 1 << 3,
  Mac: 1 << 5,
  HostTso4: 1 << 11,
  HostTso6: 1 << 12,
  MergedBuffers: 1 << 15,
  Status: 1 << 16,
  ControlQueue: 1 << 17,
  ControlReceive: 1 << 18,
  ControlMac: 1 << 23,
  AnyLayout: 1 << 27,
  Indirect: 1 << 28,
  EventIndex: 1 << 29,
} as const;
export const RECEIVE = 0;
export const TRANSMIT = 1;
export const CONTROL = 2;
export const NO_VECTOR = 0xffff;
/** struct virtio_net_hdr: the longer one with VERSION_1 or merged buffers. */
export const HEADER = 10;
export const LONG_HEADER = 12;
