import { ACPI_HEADER, ACPI_LENGTH, changeAcpiTable } from "../boot/acpi";
import { physRead32, physRead8 } from "../metal";

/** AML (ACPI 6.5, 20.2). */
const enum Aml {
  Zero = 0x00,
  One = 0x01,
  Byte = 0x0a,
  Package = 0x12,
}

/** "_S0_", in memory's order; the number of the state is the second letter. */
const SLEEP_NAME: u32 = 0x5f30535f;
const NUMBER_SHIFT: u32 = 16;
/** A name that nobody asks for begins so instead. */
const HIDDEN: u32 = 0x58; // "X"

/** No object of this name, or not of the kind. */
export const NO_TYPE: u32 = 0xffff_ffff;

/** A table of AML, DSDT or SSDT, looked through for the objects _S1 to _S5 (ACPI 6.5, 7.4.2), at a physical address. */
export class DefinitionBlock {
  constructor(private readonly table: u64) {}

  /** Where the next name of a sleep state `state` is, from an offset on; 0 if there is none. */
  private find(state: u32, from: u64): u64 {
    const name = SLEEP_NAME + (state << NUMBER_SHIFT);
    const end = physRead32(this.table + ACPI_LENGTH) as u64;
    for (let offset = from; offset + 4 <= end; offset++) if (physRead32(this.table + offset) == name) return offset;
    return 0;
  }

  /** SLP_TYPa and SLP_TYPb of the state, the second in 15:8, or NO_TYPE. */
  sleepTypes(state: u32): u32 {
    for (let offset = this.find(state, ACPI_HEADER); offset; offset = this.find(state, offset + 4)) {
      let at = this.table + offset + 4;
      if (physRead8(at) != Aml.Package) continue;
      at += 2 + ((physRead8(at + 1) >> 6) as u64); // PkgLength has so many bytes more
      at += 1; // the number of elements
      const a = integer(at);
      const b = integer(at + (physRead8(at) == Aml.Byte ? 2 : 1));
      if (a != NO_TYPE && b != NO_TYPE) return a | (b << 8);
    }
    return NO_TYPE;
  }

  /** Gives the state's objects another name wherever they are named: an operating system finds that it is not there. */
  hide(state: u32): void {
    for (let offset = this.find(state, ACPI_HEADER); offset; offset = this.find(state, offset + 4))
      changeAcpiTable(this.table, offset, HIDDEN);
  }
}

/** An integer of one byte. */
function integer(at: u64): u32 {
  const opcode = physRead8(at);
  if (opcode == Aml.Zero || opcode == Aml.One) return opcode;
  return opcode == Aml.Byte ? physRead8(at + 1) : NO_TYPE;
}
