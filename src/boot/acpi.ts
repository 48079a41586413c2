import { physRead8, physWrite8 } from "../metal";

/** Bytes of a table's signature, and its checksum, by which all its bytes add up to 0 (ACPI 6.5, 5.2.6). */
const SIGNATURE_LENGTH: u64 = 4;
const CHECKSUM: u64 = 9;
/** No table's signature has lower-case letters, so none is looked for under such a name. */
const LOWER_CASE: u32 = 0x20;

/** Gives the table at a physical address a name that no operating system knows, for whichever list it is found in. */
export function hideAcpiTable(table: u64): void {
  for (let i: u64 = 0; i < SIGNATURE_LENGTH; i++) {
    const letter = physRead8(table + i);
    physWrite8(table + i, letter | LOWER_CASE);
    physWrite8(table + CHECKSUM, physRead8(table + CHECKSUM) + letter - (letter | LOWER_CASE));
  }
}
