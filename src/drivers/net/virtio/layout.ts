// The legacy virtio-net device ("Virtio PCI Card Specification" 0.9.5).

/** PCI identity (2.1): network card, legacy, revision 0; the class is an Ethernet controller's. */
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

/** Feature bits (appendix B, C and the ring's own). */
export const enum Feature {
  CSUM = 1 << 0,
  GUEST_CSUM = 1 << 1,
  MAC = 1 << 5,
  HOST_TSO4 = 1 << 11,
  HOST_TSO6 = 1 << 12,
  STATUS = 1 << 16,
  ANY_LAYOUT = 1 << 27,
  INDIRECT_DESC = 1 << 28,
  EVENT_IDX = 1 << 29,
}

/** Device status (2.2.2.1). */
export const enum DeviceStatus {
  DRIVER_OK = 4,
}

/** ISR status (2.2.2.3). */
export const enum Isr {
  Queue = 1,
  Config = 2,
}

export const NO_VECTOR: u32 = 0xffff;

/** virtio_net_hdr (appendix C). */
export const enum NetHeader {
  Flags = 0,
  GsoType = 1,
  GsoSize = 4,
  ChecksumStart = 6,
  ChecksumOffset = 8,
  Size = 10,
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
