// UEFI as Sheer uses it before the guest runs (UEFI 2.10). Tables lie in physical memory; so do the addresses passed.
import { firmwareCall, physOf, physRead32, physRead64, physRead8 } from "../metal";
import { BOOT_INFO, BootInfo } from "./info";

/** EFI_STATUS values; errors have the top bit (UEFI 2.10, appendix D). */
export namespace Status {
  export const SUCCESS: u64 = 0;
  const ERROR_BIT: u64 = 1 << 63;
  export const UNSUPPORTED: u64 = ERROR_BIT | 3;
  export const NOT_FOUND: u64 = ERROR_BIT | 14;
  export const ALREADY_STARTED: u64 = ERROR_BIT | 20;
  export const ABORTED: u64 = ERROR_BIT | 21;
}

/** EFI_SYSTEM_TABLE (4.3). */
const enum SystemTable {
  ConOut = 64,
  BootServices = 96,
  TableCount = 104,
  Tables = 112,
}
/** EFI_BOOT_SERVICES (4.4). */
const enum BootServices {
  GetMemoryMap = 56,
  FreePool = 72,
  HandleProtocol = 152,
  DisconnectController = 272,
  LocateHandleBuffer = 312,
  LocateProtocol = 320,
}
const OUTPUT_STRING: u64 = 8;
const BY_PROTOCOL: u64 = 2;

/** The 16 bytes of a GUID as they lie in memory. */
export function guid(first: u32, second: u32, third: u32, rest: u64): usize {
  const at = heap.alloc(16);
  store<u32>(at, first);
  store<u16>(at, second as u16, 4);
  store<u16>(at, third as u16, 6);
  store<u64>(at, bswap<u64>(rest), 8);
  return at;
}
const ACPI_20_TABLE = guid(0x8868e871, 0xe4f1, 0x11d3, 0xbc22_0080_c73c_8881);

const LONGEST_LINE: i32 = 256;

/** The firmware that started Sheer. */
class Firmware {
  private readonly args: usize = heap.alloc(7 * 8);
  private readonly out: usize = heap.alloc(8);
  private readonly line: usize = heap.alloc((LONGEST_LINE + 3) * 2);

  private systemTable(): u64 {
    return changetype<BootInfo>(BOOT_INFO).systemTable;
  }
  private bootServices(): u64 {
    return physRead64(this.systemTable() + SystemTable.BootServices);
  }

  /** Calls the member of a table or protocol at `offset` with up to seven arguments, unused ones zero. */
  call(table: u64, offset: u64, a: u64, b: u64 = 0, c: u64 = 0, d: u64 = 0, e: u64 = 0, f: u64 = 0, g: u64 = 0): u64 {
    const args = this.args;
    store<u64>(args, a);
    store<u64>(args, b, 8);
    store<u64>(args, c, 16);
    store<u64>(args, d, 24);
    store<u64>(args, e, 32);
    store<u64>(args, f, 40);
    store<u64>(args, g, 48);
    return firmwareCall(physRead64(table + offset), args, 7);
  }

  /** Shows a line on the firmware's console. */
  print(text: string): void {
    const length = min(text.length, LONGEST_LINE);
    memory.copy(this.line, changetype<usize>(text), (length as usize) << 1);
    const end = this.line + ((length as usize) << 1);
    store<u16>(end, 13);
    store<u16>(end, 10, 2);
    store<u16>(end, 0, 4);
    const console = physRead64(this.systemTable() + SystemTable.ConOut);
    if (console) this.call(console, OUTPUT_STRING, console, physOf(this.line));
  }

  /** A protocol's interface on a handle, or 0. */
  protocol(handle: u64, protocol: usize): u64 {
    const status = this.call(
      this.bootServices(),
      BootServices.HandleProtocol,
      handle,
      physOf(protocol),
      physOf(this.out),
    );
    return status == Status.SUCCESS ? load<u64>(this.out) : 0;
  }

  /** The interface of the first handle with a protocol, or 0. */
  anyProtocol(protocol: usize): u64 {
    const status = this.call(this.bootServices(), BootServices.LocateProtocol, physOf(protocol), 0, physOf(this.out));
    return status == Status.SUCCESS ? load<u64>(this.out) : 0;
  }

  /** Physical address of an array of all handles with a protocol; their number is written to `count`. To be freed by freePool. */
  handles(protocol: usize, count: usize): u64 {
    store<u64>(count, 0);
    const status = this.call(
      this.bootServices(),
      BootServices.LocateHandleBuffer,
      BY_PROTOCOL,
      physOf(protocol),
      0,
      physOf(count),
      physOf(this.out),
    );
    return status == Status.SUCCESS ? load<u64>(this.out) : 0;
  }

  /**
   * GetMemoryMap (7.2.3): the map goes to `room` bytes at `map`; `sizes` is filled with four words, its size in bytes, its
   * key, and the size and version of its descriptors. False if there is no room for it.
   */
  memoryMap(map: usize, room: u64, sizes: usize): bool {
    const at = physOf(sizes);
    store<u64>(sizes, room);
    const services = this.bootServices();
    return this.call(services, BootServices.GetMemoryMap, at, physOf(map), at + 8, at + 16, at + 24) == Status.SUCCESS;
  }

  freePool(buffer: u64): void {
    this.call(this.bootServices(), BootServices.FreePool, buffer);
  }

  /** Stops all drivers of a controller. */
  disconnect(controller: u64): u64 {
    return this.call(this.bootServices(), BootServices.DisconnectController, controller);
  }

  /** Physical address of the ACPI table with this signature (ACPI 6.5, 5.2.8), the first or a later one, or 0. */
  acpiTable(signature: u32, number: u32 = 0): u64 {
    const rsdp = this.configurationTable(ACPI_20_TABLE);
    const xsdt = rsdp ? physRead64(rsdp + 24) : 0;
    if (!xsdt) return 0;
    const end = xsdt + (physRead32(xsdt + 4) as u64);
    for (let entry = xsdt + 36; entry + 8 <= end; entry += 8) {
      const table = physRead64(entry);
      if (physRead32(table) == signature && number-- == 0) return table;
    }
    return 0;
  }

  private configurationTable(identifier: usize): u64 {
    const count = physRead64(this.systemTable() + SystemTable.TableCount);
    let entry = physRead64(this.systemTable() + SystemTable.Tables);
    for (let i: u64 = 0; i < count; i++, entry += 24) {
      let same = true;
      for (let byte: u64 = 0; byte < 16 && same; byte++)
        same = physRead8(entry + byte) == load<u8>(identifier + (byte as usize));
      if (same) return physRead64(entry + 16);
    }
    return 0;
  }
}

export const firmware = new Firmware();
