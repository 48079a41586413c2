// The virtio-net device as both interfaces know it: the legacy one ("Virtio PCI Card Specification" 0.9.5) and that of
// "Virtual I/O Device (VIRTIO) Version 1.2". Plain section numbers are of the former, those with "1.2:" of the latter.

/** PCI identity (2.1, 1.2: 4.1.2.1): a transitional network card, revision 0; the class is an Ethernet controller's. */
export const VIRTIO_NET_ID: u32 = 0x1000_1af4;
export const VIRTIO_NET_SUBSYSTEM: u32 = 0x0001_1af4;
export const ETHERNET_CLASS: u32 = 0x0200_0000;

/** Registers in I/O space (2.2.1). With MSI-X on, two vector registers push the device's own fields back. */
export const enum IoRegister {
  DeviceFeatures = 0x00,
  GuestFeatures = 0x04,
  QueuePfn = 0x08,
  QueueSize = 0x0c,
  QueueSelect = 0x0e,
  QueueNotify = 0x10,
  DeviceStatus = 0x12,
  IsrStatus = 0x13,
  ConfigVector = 0x14,
  QueueVector = 0x16,
}
export const CONFIG_WITHOUT_MSIX: u32 = 0x14;
export const CONFIG_WITH_MSIX: u32 = 0x18;

/** The common configuration (1.2: 4.1.4.3). */
export const enum Common {
  DeviceFeatureSelect = 0x00,
  DeviceFeature = 0x04,
  DriverFeatureSelect = 0x08,
  DriverFeature = 0x0c,
  ConfigVector = 0x10,
  Queues = 0x12,
  DeviceStatus = 0x14,
  ConfigGeneration = 0x15,
  QueueSelect = 0x16,
  QueueSize = 0x18,
  QueueVector = 0x1a,
  QueueEnable = 0x1c,
  QueueNotifyOffset = 0x1e,
  QueueDescriptors = 0x20,
  QueueDriver = 0x28,
  QueueDevice = 0x30,
  QueueNotifyData = 0x38,
  QueueReset = 0x3a,
  Size = 0x3c,
}

/** Feature bits (appendix B, C; 1.2: 5.1.3 and 6). */
export const enum Feature {
  CSUM = 1 << 0,
  GUEST_CSUM = 1 << 1,
  MTU = 1 << 3,
  MAC = 1 << 5,
  HOST_TSO4 = 1 << 11,
  HOST_TSO6 = 1 << 12,
  MRG_RXBUF = 1 << 15,
  STATUS = 1 << 16,
  CTRL_VQ = 1 << 17,
  CTRL_RX = 1 << 18,
  CTRL_MAC_ADDR = 1 << 23,
  ANY_LAYOUT = 1 << 27,
  INDIRECT_DESC = 1 << 28,
  EVENT_IDX = 1 << 29,
}
/** The same of 63:32, which only the newer interface has. */
export const enum UpperFeature {
  VERSION_1 = 1 << 0,
  RING_RESET = 1 << 8,
}

/** Device status (2.2.2.1; 1.2: 2.1). */
export const enum DeviceStatus {
  DRIVER_OK = 4,
  FEATURES_OK = 8,
  NEEDS_RESET = 64,
  FAILED = 128,
}

/** ISR status (2.2.2.3). */
export const enum Isr {
  Queue = 1,
  Config = 2,
}

export const NO_VECTOR: u32 = 0xffff;

export const RECEIVE: u32 = 0;
export const TRANSMIT: u32 = 1;
export const CONTROL: u32 = 2;
export const QUEUES: u32 = 3;

/** The device's own fields (1.2: 5.1.4). */
export const enum NetConfig {
  Status = 6,
  Mtu = 10,
}
/** Payload of the frames that cards here carry. */
export const MTU: u32 = 1500;

/** virtio_net_hdr (appendix C; 1.2: 5.1.6). `Buffers` is there with VERSION_1 or MRG_RXBUF. */
export const enum NetHeader {
  Flags = 0,
  GsoType = 1,
  GsoSize = 4,
  ChecksumStart = 6,
  ChecksumOffset = 8,
  Buffers = 10,
  LegacySize = 10,
  Size = 12,
}
export const enum HeaderFlag {
  NEEDS_CSUM = 1,
  DATA_VALID = 2,
}
export const enum GsoType {
  NONE = 0,
  TCPV4 = 1,
  TCPV6 = 4,
}

/** Commands of the control queue: class 7:0, command 15:8 (1.2: 5.1.6.5). */
export const enum ControlCommand {
  Promiscuous = 0x0000,
  AllMulticast = 0x0100,
  MacTable = 0x0001,
  MacAddress = 0x0101,
}
export const enum ControlAck {
  OK = 0,
  ERR = 1,
}
