/** Type 0 configuration header: offset of each register (PCI Local Bus 3.0, 6.1). */
export const enum Header {
  VendorId = 0x00,
  Command = 0x04,
  Status = 0x06,
  RevisionId = 0x08,
  CacheLineSize = 0x0c,
  HeaderType = 0x0e,
  Bar0 = 0x10,
  /** Of a bridge: latency timer 31:24, subordinate, secondary and primary bus. */
  BusNumbers = 0x18,
  SubsystemVendorId = 0x2c,
  CapabilitiesPointer = 0x34,
  InterruptLine = 0x3c,
  InterruptPin = 0x3d,
}

/** Bit 7 of the header type register: the device has other functions than 0 (6.2.1). */
export const MULTIFUNCTION: u32 = 0x80;
/** The rest of the header type register: which layout the header has (6.2.1). */
export const enum HeaderType {
  Endpoint = 0,
  Bridge = 1,
}

/** Command register (PCI Local Bus 3.0, 6.2.2). */
export const enum Command {
  IoSpace = 1 << 0,
  MemorySpace = 1 << 1,
  BusMaster = 1 << 2,
  ParityErrorResponse = 1 << 6,
  SerrEnable = 1 << 8,
  InterruptDisable = 1 << 10,
}

/** Status register (PCI Local Bus 3.0, 6.2.3). */
export const enum Status {
  InterruptStatus = 1 << 3,
  CapabilitiesList = 1 << 4,
}

/** Low bits of a base address register (PCI Local Bus 3.0, 6.2.5.1). */
export const enum BarFlag {
  IoSpace = 1 << 0,
  Type64 = 1 << 2,
}

/** Capability IDs (PCI Local Bus 3.0, appendix H). */
export const enum CapabilityId {
  PowerManagement = 0x01,
  Msi = 0x05,
  Vendor = 0x09,
  Express = 0x10,
  MsiX = 0x11,
}

/** What a read of nothing gives. */
export const ALL_ONES: u32 = 0xffff_ffff;
