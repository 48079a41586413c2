// Constants and layouts of the UEFI Specification 2.x; chapter numbers are those of version 2.10.

const ERROR = 1n << 63n;
/** Appendix D. */
export const EfiStatus = {
  Success: 0n,
  LoadError: ERROR | 1n,
  InvalidParameter: ERROR | 2n,
  Unsupported: ERROR | 3n,
  BufferTooSmall: ERROR | 5n,
  NotReady: ERROR | 6n,
  DeviceError: ERROR | 7n,
  WriteProtected: ERROR | 8n,
  OutOfResources: ERROR | 9n,
  NotFound: ERROR | 14n,
  Timeout: ERROR | 18n,
  AlreadyStarted: ERROR | 20n,
} as const;

/** EFI_MEMORY_TYPE, 7.2. */
export const MemoryType = {
  Reserved: 0,
  LoaderCode: 1,
  LoaderData: 2,
  BootServicesCode: 3,
  BootServicesData: 4,
  RuntimeServicesCode: 5,
  RuntimeServicesData: 6,
  Conventional: 7,
  Unusable: 8,
  AcpiReclaim: 9,
  AcpiNvs: 10,
  MemoryMappedIo: 11,
} as const;

/** Protocol and table identifiers as text of RFC 4122. */
export const Guid = {
  LoadedImage: "5b1b31a1-9562-11d2-8e3f-00a0c969723b",
  DevicePath: "09576e91-6d3f-11d2-8e39-00a0c969723b",
  SimpleFileSystem: "964e5b22-6459-11d2-8e39-00a0c969723b",
  FileInfo: "09576e92-6d3f-11d2-8e39-00a0c969723b",
  SimpleTextOutput: "387477c2-69c7-11d2-8e39-00a0c969723b",
  GraphicsOutput: "9042a9de-23dc-4a38-96fb-7aded080516a",
  PciIo: "4cf5b200-68b8-4ca5-9eec-b23e3f50029a",
  MpServices: "3fdda605-a76e-4f46-ad29-12f4531b3d08",
  Acpi20Table: "8868e871-e4f1-11d3-bc22-0080c73c8881",
} as const;

/** Bytes 0 to 3, 4 to 5 and 6 to 7 of an EFI_GUID are little-endian numbers. */
export function guidBytes(text: string): Uint8Array {
  const hex = text.replaceAll("-", "");
  const byte = (at: number): number => parseInt(hex.slice(2 * at, 2 * at + 2), 16);
  return Uint8Array.from([3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15], byte);
}

export function guidText(bytes: Uint8Array): string {
  const hex = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15].map((at) =>
    bytes[at]!.toString(16).padStart(2, "0"),
  );
  const part = (from: number, to: number): string => hex.slice(from, to).join("");
  return [part(0, 4), part(4, 6), part(6, 8), part(8, 10), part(10, 16)].join("-");
}

/** EFI_BOOT_SERVICES, 4.4: every function in the order of the table, which begins at offset 24. */
export const BOOT_SERVICES = [
  "RaiseTPL",
  "RestoreTPL",
  "AllocatePages",
  "FreePages",
  "GetMemoryMap",
  "AllocatePool",
  "FreePool",
  "CreateEvent",
  "SetTimer",
  "WaitForEvent",
  "SignalEvent",
  "CloseEvent",
  "CheckEvent",
  "InstallProtocolInterface",
  "ReinstallProtocolInterface",
  "UninstallProtocolInterface",
  "HandleProtocol",
  "Reserved",
  "RegisterProtocolNotify",
  "LocateHandle",
  "LocateDevicePath",
  "InstallConfigurationTable",
  "LoadImage",
  "StartImage",
  "Exit",
  "UnloadImage",
  "ExitBootServices",
  "GetNextMonotonicCount",
  "Stall",
  "SetWatchdogTimer",
  "ConnectController",
  "DisconnectController",
  "OpenProtocol",
  "CloseProtocol",
  "OpenProtocolInformation",
  "ProtocolsPerHandle",
  "LocateHandleBuffer",
  "LocateProtocol",
  "InstallMultipleProtocolInterfaces",
  "UninstallMultipleProtocolInterfaces",
  "CalculateCrc32",
  "CopyMem",
  "SetMem",
  "CreateEventEx",
] as const;

/** EFI_RUNTIME_SERVICES, 4.5. */
export const RUNTIME_SERVICES = [
  "GetTime",
  "SetTime",
  "GetWakeupTime",
  "SetWakeupTime",
  "SetVirtualAddressMap",
  "ConvertPointer",
  "GetVariable",
  "GetNextVariableName",
  "SetVariable",
  "GetNextHighMonotonicCount",
  "ResetSystem",
  "UpdateCapsule",
  "QueryCapsuleCapabilities",
  "QueryVariableInfo",
] as const;

/** EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL, 12.4. */
export const TEXT_OUTPUT = [
  "Reset",
  "OutputString",
  "TestString",
  "QueryMode",
  "SetMode",
  "SetAttribute",
  "ClearScreen",
  "SetCursorPosition",
  "EnableCursor",
] as const;

/** EFI_FILE_PROTOCOL, 13.5, after its revision. */
export const FILE = [
  "Open",
  "Close",
  "Delete",
  "Read",
  "Write",
  "GetPosition",
  "SetPosition",
  "GetInfo",
  "SetInfo",
  "Flush",
] as const;

/** EFI_PCI_IO_PROTOCOL, 14.4; Mem, Io and Pci are pairs of read and write. */
export const PCI_IO = [
  "PollMem",
  "PollIo",
  "Mem.Read",
  "Mem.Write",
  "Io.Read",
  "Io.Write",
  "Pci.Read",
  "Pci.Write",
  "CopyMem",
  "Map",
  "Unmap",
  "AllocateBuffer",
  "FreeBuffer",
  "Flush",
  "GetLocation",
  "Attributes",
  "GetBarAttributes",
  "SetBarAttributes",
] as const;

/** EFI_MP_SERVICES_PROTOCOL: UEFI Platform Initialization Specification 1.8, volume 2, 13.4.1. */
export const MP_SERVICES = [
  "GetNumberOfProcessors",
  "GetProcessorInfo",
  "StartupAllAPs",
  "StartupThisAP",
  "SwitchBSP",
  "EnableDisableAP",
  "WhoAmI",
] as const;
