// Sleep states S2 and S3 end by a reset of the processors, after which the firmware starts what the operating system has
// told it: outside Sheer. S1 keeps processors as they are, and after S4 and S5 the machine boots, Sheer included.
import { firmware } from "../boot/firmware";
import { log } from "../log/log";
import { physRead32, physRead64, physRead8 } from "../metal";
import { portHooks } from "../vcpu/io";
import { DefinitionBlock, NO_TYPE } from "./definition-block";
import { SleepControl } from "./sleep-control";

const FADT: u32 = 0x50434146; // "FACP"
const SSDT: u32 = 0x54445353; // "SSDT"

/** FADT (ACPI 6.5, 5.2.9): 32-bit fields and, since version 2, those with an X as generic addresses. */
const enum Fadt {
  Length = 4,
  Dsdt = 40,
  Pm1aControl = 64,
  Pm1bControl = 68,
  Pm1ControlLength = 89,
  XDsdt = 140,
  XPm1aControl = 172,
  XPm1bControl = 184,
  SleepControl = 244,
}
/** A generic address (5.2.3.2): its space, and after four bytes the address. */
const IO_SPACE: u8 = 1;
const ADDRESS: u64 = 4;
const GENERIC_ADDRESS: u64 = 12;

const S1: u32 = 1;
const S5: u32 = 5;

/** Whether PM1a's control register lies at this port. */
export function isSleepPort(port: u32): bool {
  const fadt = firmware.acpiTable(FADT);
  return fadt != 0 && port == controlPort(fadt, Fadt.XPm1aControl, Fadt.Pm1aControl);
}

/** Has S2 and S3 vanish from ACPI's tables, and keeps the guest from asking the machine for them. */
export function guardSleepStates(): void {
  const fadt = firmware.acpiTable(FADT);
  if (!fadt) return;
  const types = new SleepTypes();
  const dsdt = addressOfDsdt(fadt);
  if (dsdt) types.look(new DefinitionBlock(dsdt));
  for (let number: u32 = 0, table = firmware.acpiTable(SSDT); table; table = firmware.acpiTable(SSDT, ++number))
    types.look(new DefinitionBlock(table));
  if (!types.off) log.warn("ACPI's tables do not tell how to switch the machine off: the guest cannot").end();
  const length = max(2, physRead8(fadt + Fadt.Pm1ControlLength) as u32);
  guard(controlPort(fadt, Fadt.XPm1aControl, Fadt.Pm1aControl), length, types.allowedA);
  guard(controlPort(fadt, Fadt.XPm1bControl, Fadt.Pm1bControl), length, types.allowedB);
  if (has(fadt, Fadt.SleepControl) && physRead64(fadt + Fadt.SleepControl + ADDRESS))
    log.warn("this machine sleeps by a register that Sheer does not watch").end();
}

/** What the tables say of the states that the guest may choose. */
class SleepTypes {
  /** A bit for each SLP_TYPa, and SLP_TYPb. */
  allowedA: u32 = 0;
  allowedB: u32 = 0;
  /** Whether S5 is among them. */
  off: bool = false;

  look(block: DefinitionBlock): void {
    for (let state = S1; state <= S5; state++) {
      if (state == 2 || state == 3) {
        block.hide(state);
        continue;
      }
      const types = block.sleepTypes(state);
      if (types == NO_TYPE) continue;
      this.allowedA |= 1 << (types & 7);
      this.allowedB |= 1 << ((types >> 8) & 7);
      if (state == S5) this.off = true;
    }
  }
}

function has(fadt: u64, field: u32): bool {
  return physRead32(fadt + Fadt.Length) >= field + (GENERIC_ADDRESS as u32);
}

function addressOfDsdt(fadt: u64): u64 {
  const address = has(fadt, Fadt.XDsdt) ? physRead64(fadt + Fadt.XDsdt) : 0;
  return address ? address : (physRead32(fadt + Fadt.Dsdt) as u64);
}

/** A port, or 0. */
function controlPort(fadt: u64, extended: u32, field: u32): u32 {
  const at = fadt + extended;
  if (has(fadt, extended) && physRead8(at) == IO_SPACE && physRead64(at + ADDRESS))
    return physRead64(at + ADDRESS) as u32;
  return physRead32(fadt + field);
}

function guard(port: u32, length: u32, allowed: u32): void {
  if (port && !portHooks.add(port, length, new SleepControl(port, allowed)))
    log.error("port ").hex(port).text(", by which the machine sleeps, cannot be watched").end();
}
