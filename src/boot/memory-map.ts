import { log } from "../log/log";
import { PAGE_SIZE, takePages } from "../memory/frames";
import { guestSpace } from "../memory/space";
import { firmware } from "./firmware";

/** Pages of linear memory for the firmware's memory map: more than a thousand descriptors. */
const ROOM: u32 = 16;
/** EFI_MEMORY_DESCRIPTOR (UEFI 2.10, 7.2.3). */
const enum Descriptor {
  PhysicalStart = 8,
  NumberOfPages = 24,
}

const sizes = heap.alloc(4 * 8);

/** Maps all that the firmware has in its memory map, device registers as well, lest the guest's first touch be a fault. */
export function mapReportedMemory(): void {
  const map = takePages(ROOM);
  if (!firmware.memoryMap(map, (ROOM as u64) * PAGE_SIZE, sizes)) {
    return log.warn("the firmware's memory map is not read: memory above 1 TiB is mapped when it is touched").end();
  }
  const end = map + (load<u64>(sizes) as usize);
  const size = load<u64>(sizes, 16) as usize;
  for (let descriptor = map; size && descriptor + size <= end; descriptor += size) {
    const start = load<u64>(descriptor, Descriptor.PhysicalStart);
    guestSpace.prepare(start, start + load<u64>(descriptor, Descriptor.NumberOfPages) * PAGE_SIZE);
  }
}
