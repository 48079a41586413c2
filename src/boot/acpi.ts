import { physRead8, physWrite8 } from "../metal";

/**
 * Bytes of a table's header, and in it the signature, the table's length, and a checksum by which all its bytes add up to 0
 * (ACPI 6.5, 5.2.6).
 */
export const ACPI_HEADER: u64 = 36;
const SIGNATURE_LENGTH: u64 = 4;
export const ACPI_LENGTH: u64 = 4;
const CHECKSUM: u64 = 9;
/** No table's signature has lower-case letters, so none is looked for under such a name. */
const LOWER_CASE: u32 = 0x20;

/** Puts another byte into the table at a physical address; its bytes still add up to 0. */
export function changeAcpiTable(table: u64, offset: u64, value: u32): void {
  const old = physRead8(table + offset);
  physWrite8(table + offset, value);
  physWrite8(table + CHECKSUM, physRead8(table + CHECKSUM) + old - value);
}

/** Gives the table at a physical address a name that no operating system knows, for whichever list it is found in. */
export function hideAcpiTable(table: u64): void {
  for (let i: u64 = 0; i < SIGNATURE_LENGTH; i++) changeAcpiTable(table, i, physRead8(table + i) | LOWER_CASE);
}
