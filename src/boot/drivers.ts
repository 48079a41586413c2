import { physOf, physRead64 } from "../metal";
import { log } from "../log/log";
import { firmware, guid, Status } from "./firmware";

const PCI_IO_PROTOCOL = guid(0x4cf5b200, 0x68b8, 0x4ca5, 0x9eec_b23e_3f50_029a);
/** EFI_PCI_IO_PROTOCOL.GetLocation (UEFI 2.10, 14.4). */
const GET_LOCATION: u64 = 112;

const location = heap.alloc(4 * 8);
const count = heap.alloc(8);

/** Makes the firmware let go of a PCI function of segment 0, if a driver of its own uses it. Before the guest runs only. */
export function detachFirmwareDriver(bus: u32, device: u32, fn: u32): void {
  const handles = firmware.handles(PCI_IO_PROTOCOL, count);
  if (!handles) return;
  const number = load<u64>(count);
  for (let i: u64 = 0; i < number; i++) {
    const handle = physRead64(handles + (i << 3));
    if (!isAt(handle, bus, device, fn)) continue;
    const status = firmware.disconnect(handle);
    if (status != Status.SUCCESS && status != Status.NOT_FOUND)
      log.warn("the firmware keeps its network driver: ").hex(status).end();
    break;
  }
  firmware.freePool(handles);
}

function isAt(handle: u64, bus: u32, device: u32, fn: u32): bool {
  const pciIo = firmware.protocol(handle, PCI_IO_PROTOCOL);
  if (!pciIo) return false;
  const at = physOf(location);
  if (firmware.call(pciIo, GET_LOCATION, pciIo, at, at + 8, at + 16, at + 24) != Status.SUCCESS) return false;
  return (
    load<u64>(location) == 0 &&
    load<u64>(location, 8) == (bus as u64) &&
    load<u64>(location, 16) == (device as u64) &&
    load<u64>(location, 24) == (fn as u64)
  );
}
