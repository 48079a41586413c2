import { physRead16, physRead32, physRead64, physRead8 } from "../metal";
import { configSpace } from "./config";

/** MCFG (PCI Firmware 3.0, 4.1.2): after the ACPI header and 8 reserved bytes, one entry of 16 bytes for each range. */
const enum Mcfg {
  Length = 4,
  Entries = 44,
  EntrySize = 16,
}
const enum Entry {
  Base = 0,
  Segment = 8,
  FirstBus = 10,
  LastBus = 11,
}

/** Takes the ECAM ranges of all segments from the MCFG table at a physical address. */
export function useMcfg(table: u64): void {
  const end = table + (physRead32(table + Mcfg.Length) as u64);
  for (let entry = table + Mcfg.Entries; entry + Mcfg.EntrySize <= end; entry += Mcfg.EntrySize) {
    const first = physRead8(entry + Entry.FirstBus);
    const last = physRead8(entry + Entry.LastBus);
    if (last < first) continue;
    configSpace.useEcam(physRead16(entry + Entry.Segment), physRead64(entry + Entry.Base), first, last);
  }
}
