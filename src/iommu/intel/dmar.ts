import { physRead16, physRead32, physRead64, physRead8 } from "../../metal";
import { IntelUnit } from "./unit";

/** DMAR table (Intel VT-d, 8.1): structures with a type and a length follow the header. */
const enum Dmar {
  Length = 4,
  Structures = 48,
}
/** DRHD, a remapping unit (8.3). */
const enum Drhd {
  Type = 0,
  Length = 2,
  Size = 5,
  Segment = 6,
  Base = 8,
  End = 16,
}
const DRHD_TYPE: u32 = 0;
const PAGE: u64 = 4096;

/** Adds the remapping units that a DMAR table at a physical address names to `units`. */
export function readDmar(table: u64, units: IntelUnit[]): void {
  const end = table + (physRead32(table + Dmar.Length) as u64);
  let at = table + Dmar.Structures;
  while (at + Drhd.End <= end) {
    const length = physRead16(at + Drhd.Length) as u64;
    if (length == 0) break;
    if (physRead16(at + Drhd.Type) == DRHD_TYPE) {
      // Bits 3:0 are how often the registers' 4 KiB double.
      const size = PAGE << ((physRead8(at + Drhd.Size) & 15) as u64);
      units.push(new IntelUnit(physRead64(at + Drhd.Base), size, physRead16(at + Drhd.Segment)));
    }
    at += length;
  }
}
