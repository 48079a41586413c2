// The virtual-machine control structure: encodings of its fields (Intel SDM 3, appendix B) and bits of its controls.

/** The six segment registers in the order of Segment, then LDTR and TR, each 2 from the last: see `segmentField`. */
export const enum Field {
  VirtualProcessorId = 0x0000,
  GuestEsSelector = 0x0800,
  GuestCsSelector = 0x0802,
  GuestSsSelector = 0x0804,
  GuestLdtrSelector = 0x080c,
  GuestTrSelector = 0x080e,
  HostEsSelector = 0x0c00,
  HostCsSelector = 0x0c02,
  HostSsSelector = 0x0c04,
  HostDsSelector = 0x0c06,
  HostFsSelector = 0x0c08,
  HostGsSelector = 0x0c0a,
  HostTrSelector = 0x0c0c,

  IoBitmapA = 0x2000,
  IoBitmapB = 0x2002,
  MsrBitmap = 0x2004,
  ExitMsrStoreAddress = 0x2006,
  ExitMsrLoadAddress = 0x2008,
  EntryMsrLoadAddress = 0x200a,
  TscOffset = 0x2010,
  EptPointer = 0x201a,
  XssExitingBitmap = 0x202c,
  GuestPhysicalAddress = 0x2400,
  VmcsLinkPointer = 0x2800,
  GuestDebugctl = 0x2802,
  GuestPat = 0x2804,
  GuestEfer = 0x2806,
  GuestPdpte0 = 0x280a,
  HostPat = 0x2c00,
  HostEfer = 0x2c02,

  PinBasedControls = 0x4000,
  ProcessorBasedControls = 0x4002,
  ExceptionBitmap = 0x4004,
  PageFaultErrorCodeMask = 0x4006,
  PageFaultErrorCodeMatch = 0x4008,
  Cr3TargetCount = 0x400a,
  ExitControls = 0x400c,
  ExitMsrStoreCount = 0x400e,
  ExitMsrLoadCount = 0x4010,
  EntryControls = 0x4012,
  EntryMsrLoadCount = 0x4014,
  EntryInterruptionInformation = 0x4016,
  EntryExceptionErrorCode = 0x4018,
  EntryInstructionLength = 0x401a,
  SecondaryControls = 0x401e,
  InstructionError = 0x4400,
  ExitReason = 0x4402,
  ExitInterruptionInformation = 0x4404,
  ExitInterruptionErrorCode = 0x4406,
  IdtVectoringInformation = 0x4408,
  IdtVectoringErrorCode = 0x440a,
  ExitInstructionLength = 0x440c,
  ExitInstructionInformation = 0x440e,
  GuestEsLimit = 0x4800,
  GuestGdtrLimit = 0x4810,
  GuestIdtrLimit = 0x4812,
  GuestEsAccessRights = 0x4814,
  GuestCsAccessRights = 0x4816,
  GuestSsAccessRights = 0x4818,
  GuestInterruptibility = 0x4824,
  GuestActivityState = 0x4826,
  GuestSysenterCs = 0x482a,
  HostSysenterCs = 0x4c00,

  Cr0GuestHostMask = 0x6000,
  Cr4GuestHostMask = 0x6002,
  Cr0ReadShadow = 0x6004,
  Cr4ReadShadow = 0x6006,
  ExitQualification = 0x6400,
  GuestLinearAddress = 0x640a,
  GuestCr0 = 0x6800,
  GuestCr3 = 0x6802,
  GuestCr4 = 0x6804,
  GuestEsBase = 0x6806,
  GuestCsBase = 0x6808,
  GuestFsBase = 0x680e,
  GuestGsBase = 0x6810,
  GuestGdtrBase = 0x6816,
  GuestIdtrBase = 0x6818,
  GuestDr7 = 0x681a,
  GuestRsp = 0x681c,
  GuestRip = 0x681e,
  GuestRflags = 0x6820,
  GuestPendingDebugExceptions = 0x6822,
  GuestSysenterEsp = 0x6824,
  GuestSysenterEip = 0x6826,
  HostCr0 = 0x6c00,
  HostCr3 = 0x6c02,
  HostCr4 = 0x6c04,
  HostFsBase = 0x6c06,
  HostGsBase = 0x6c08,
  HostTrBase = 0x6c0a,
  HostGdtrBase = 0x6c0c,
  HostIdtrBase = 0x6c0e,
  HostSysenterEsp = 0x6c10,
  HostSysenterEip = 0x6c12,
  HostRsp = 0x6c14,
  HostRip = 0x6c16,
}

/** `ofEs` is what ES has there, such as GuestEsBase. */
export function segmentField(ofEs: Field, segment: u32): Field {
  return ((ofEs as u32) + 2 * segment) as Field;
}

/** Pin-based VM-execution controls (Intel SDM 3, table 25-5). */
export const enum PinBased {
  ExternalInterruptExiting = 1 << 0,
  NmiExiting = 1 << 3,
  VirtualNmis = 1 << 5,
}

/** Primary processor-based VM-execution controls (table 25-6). */
export const enum ProcessorBased {
  InterruptWindowExiting = 1 << 2,
  UseTscOffsetting = 1 << 3,
  HltExiting = 1 << 7,
  MwaitExiting = 1 << 10,
  Cr3LoadExiting = 1 << 15,
  Cr3StoreExiting = 1 << 16,
  Cr8LoadExiting = 1 << 19,
  Cr8StoreExiting = 1 << 20,
  NmiWindowExiting = 1 << 22,
  UnconditionalIoExiting = 1 << 24,
  UseIoBitmaps = 1 << 25,
  UseMsrBitmaps = 1 << 28,
  ActivateSecondaryControls = 1 << 31,
}

/** Secondary processor-based VM-execution controls (table 25-7). */
export const enum Secondary {
  EnableEpt = 1 << 1,
  EnableRdtscp = 1 << 3,
  EnableVpid = 1 << 5,
  WbinvdExiting = 1 << 6,
  UnrestrictedGuest = 1 << 7,
  EnableInvpcid = 1 << 12,
  EnableXsaves = 1 << 20,
  EnableUserWait = 1 << 26,
}

/** Primary VM-exit controls (table 25-13). */
export const enum ExitControl {
  SaveDebugControls = 1 << 2,
  HostAddressSpaceSize = 1 << 9,
  AcknowledgeInterruptOnExit = 1 << 15,
  SavePat = 1 << 18,
  LoadPat = 1 << 19,
  SaveEfer = 1 << 20,
  LoadEfer = 1 << 21,
}

/** VM-entry controls (table 25-15). */
export const enum EntryControl {
  LoadDebugControls = 1 << 2,
  Ia32eModeGuest = 1 << 9,
  LoadPat = 1 << 14,
  LoadEfer = 1 << 15,
}

/** Interruptibility state (table 25-3). */
export const enum Interruptibility {
  BlockingBySti = 1 << 0,
  BlockingByMovSs = 1 << 1,
  BlockingBySmi = 1 << 2,
  BlockingByNmi = 1 << 3,
  EnclaveInterruption = 1 << 4,
}

/** Activity state (25.4.2). */
export const enum ActivityState {
  Active = 0,
  Hlt = 1,
  Shutdown = 2,
  WaitForSipi = 3,
}

/** Access rights of a segment (table 25-2). */
export const enum AccessRights {
  Type = 0xf,
  CodeOrData = 1 << 4,
  Present = 1 << 7,
  Long = 1 << 13,
  Default = 1 << 14,
  Granularity = 1 << 15,
  Unusable = 1 << 16,
}

/** Interruption type in bits 10:8 of the three interruption-information fields (tables 25-17, 25-19 and 25-20). */
export const enum InterruptionType {
  External = 0,
  Nmi = 2,
  HardwareException = 3,
  SoftwareInterrupt = 4,
  PrivilegedSoftwareException = 5,
  SoftwareException = 6,
  OtherEvent = 7,
}
