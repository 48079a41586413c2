// MMIO registers (AMD I/O Virtualization Technology Specification 48882, 3.4).
export const enum Register {
  DeviceTableBase = 0x0000,
  CommandBufferBase = 0x0008,
  EventLogBase = 0x0010,
  Control = 0x0018,
  ExtendedFeature = 0x0030,
  CommandBufferHead = 0x2000,
  CommandBufferTail = 0x2008,
  EventLogHead = 0x2010,
  EventLogTail = 0x2018,
  Status = 0x2020,
}
/** Bytes of registers without performance counters, and with them (3.4). */
export const PLAIN_SIZE: u64 = 0x4000;
export const COUNTERS_SIZE: u64 = 0x8_0000;

export namespace Control {
  export const IOMMU_ENABLE: u64 = 1 << 0;
  export const EVENT_LOG_ENABLE: u64 = 1 << 2;
  export const COMMAND_BUFFER_ENABLE: u64 = 1 << 12;
}

/** What a unit's IVHD block has set of bits 1 and 11:8 of the control register (5.2.2.1, table of the flags). */
export const enum IvhdFlag {
  HtTunEn = 1 << 0,
  PassPW = 1 << 1,
  ResPassPW = 1 << 2,
  Isoc = 1 << 3,
  Coherent = 1 << 5,
}
export namespace ControlFlag {
  export const HT_TUN_EN: u64 = 1 << 1;
  export const PASS_PW: u64 = 1 << 8;
  export const RES_PASS_PW: u64 = 1 << 9;
  export const COHERENT: u64 = 1 << 10;
  export const ISOC: u64 = 1 << 11;
}

export namespace Feature {
  /** INVALIDATE_IOMMU_ALL is there. */
  export const INVALIDATE_ALL: u64 = 1 << 6;
  export const COUNTERS: u64 = 1 << 9;
}

/** Status: the event log was full, and is written no more. */
export const EVENT_OVERFLOW: u32 = 1 << 0;

/** Commands (2.4): the operation in bits 63:60 of the first qword. */
export namespace Command {
  export const COMPLETION_WAIT: u64 = 1 << 60;
  export const INVALIDATE_ALL: u64 = 8 << 60;
  /** Of COMPLETION_WAIT: stores the second qword at the address in bits 51:3. */
  export const STORE: u64 = 1 << 0;
}
export const COMMAND_SIZE: u64 = 16;

/** Length of a page of commands or events, in their base registers' bits 59:56: 2 to the power of 8 entries. */
export const PAGE_OF_ENTRIES: u64 = 8 << 56;

/** An event (2.5): the device in bits 15:0 and the event's code in bits 63:60 of the first qword, then the address. */
export const EVENT_SIZE: u32 = 16;
export const EVENT_LOG_SIZE: u32 = 4096;
