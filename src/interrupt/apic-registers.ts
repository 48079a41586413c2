/** Local APIC registers, by offset into its page (AMD APM 2, table 16-2); by 16 bytes less, MSRs from X2APIC_MSRS on. */
export const enum ApicRegister {
  Id = 0x20,
  TaskPriority = 0x80,
  EndOfInterrupt = 0xb0,
  LogicalDestination = 0xd0,
  DestinationFormat = 0xe0,
  SpuriousVector = 0xf0,
  ErrorStatus = 0x280,
  InterruptCommandLow = 0x300,
  InterruptCommandHigh = 0x310,
  FirstLocalVector = 0x320,
  LocalInterrupt0 = 0x350,
  LocalInterrupt1 = 0x360,
  LastLocalVector = 0x370,
  TimerInitialCount = 0x380,
  TimerDivide = 0x3e0,
}

/** Bits of the local vectors. */
export namespace LocalVector {
  export const MASKED: u32 = 1 << 16;
  /** Delivery modes: what the pin of an 8259 brings, and NMI. */
  export const EXTERNAL: u32 = 7 << 8;
  export const NMI: u32 = 4 << 8;
}

/** Values of the spurious vector register: the local APIC takes no interrupts, or does. */
export const enum SpuriousVector {
  Disabled = 0xff,
  Enabled = 0x1ff,
}

/** In x2APIC mode (AMD APM 2, 16.11). */
export const X2APIC_MSRS: u32 = 0x800;
export const MSR_X2APIC_TASK_PRIORITY: u32 = 0x808;
export const MSR_X2APIC_INTERRUPT_COMMAND: u32 = 0x830;

export const MSR_APIC_BASE: u32 = 0x1b;
export const APIC_BASE_X2APIC: u64 = 1 << 10;
export const APIC_BASE_ENABLED: u64 = 1 << 11;
