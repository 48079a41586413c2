// Remapping hardware registers (Intel VT-d, 11.4).
export const enum Register {
  Version = 0x00,
  Capability = 0x08,
  ExtendedCapability = 0x10,
  GlobalCommand = 0x18,
  GlobalStatus = 0x1c,
  RootTableAddress = 0x20,
  ContextCommand = 0x28,
  FaultStatus = 0x34,
  ProtectedMemoryEnable = 0x64,
  /** From the offset in ExtendedCapability. */
  IotlbInvalidate = 0x08,
}

/** Global Command and Global Status have the same bits (11.4.4.1, 11.4.4.2). */
export const enum Global {
  TranslationEnable = 1 << 31,
  SetRootTablePointer = 1 << 30,
  WriteBufferFlush = 1 << 27,
  QueuedInvalidationEnable = 1 << 26,
  InterruptRemappingEnable = 1 << 25,
}
/** Status bits that stay as they are when a command is written; the others are commands for one time (11.4.4.1). */
export const GLOBAL_LASTING: u32 = 0x96ff_ffff;

/** Capability (11.4.2). */
export namespace Capability {
  export const WRITE_BUFFER_FLUSH: u64 = 1 << 4;
  export const ADJUSTED_WIDTHS: u64 = 8; // shift of SAGAW, 5 bits
  export const FAULT_OFFSET: u64 = 24; // shift, 10 bits, in units of 16 bytes
  export const PAGES_1G: u64 = 1 << 35;
  export const FAULT_COUNT: u64 = 40; // shift, 8 bits, less one
}
/** Adjusted guest address widths in Capability: levels of page tables that the unit walks. */
export const enum Width {
  Levels3 = 1 << 1,
  Levels4 = 1 << 2,
}
/** Extended Capability (11.4.3): where the IOTLB registers lie, in units of 16 bytes. */
export const IOTLB_OFFSET: u64 = 8; // shift, 10 bits

/** Context Command (11.4.6.1). */
export namespace ContextCommand {
  export const INVALIDATE: u64 = 1 << 63;
  export const GLOBAL: u64 = 1 << 61;
}
/** IOTLB Invalidate (11.4.6.2). */
export namespace Iotlb {
  export const INVALIDATE: u64 = 1 << 63;
  export const GLOBAL: u64 = 1 << 60;
  export const DRAIN_READS: u64 = 1 << 49;
  export const DRAIN_WRITES: u64 = 1 << 48;
}

/** Fault Status (11.4.7.1). */
export const FAULT_OVERFLOW: u32 = 1 << 0;
/** Protected Memory Enable (11.4.8.1). */
export const PROTECTED_MEMORY: u32 = 1 << 31;

/** Fault Recording (11.4.7.5): four dwords. */
export const enum FaultRecord {
  Address = 0,
  Source = 8,
  Reason = 12,
  Size = 16,
}
export const FAULT_PENDING: u32 = 1 << 31;
