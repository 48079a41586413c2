// ACPI tables: Advanced Configuration and Power Interface Specification 6.4, 5.2; MCFG from the PCI Firmware Specification 3.2.
import { APIC_BASE } from "../apic.ts";
import { ascii } from "../bits.ts";
import { IOAPIC_BASE } from "../ioapic.ts";
import { ECAM_BASE, ECAM_BASE_1, ECAM_BUSES, ECAM_BUSES_1 } from "../pci/bus.ts";
import type { MpProcessor } from "./mp-services.ts";
import { PM1_CONTROL_PORT } from "../power.ts";
import type { TableBuilder } from "./tables.ts";

const HEADER = 36;
export const PM_TIMER_PORT = 0x608;

function checksummed(bytes: Uint8Array, at: number, length: number): Uint8Array {
  bytes[at] = 0;
  bytes[at] = -bytes.subarray(0, length).reduce((sum, byte) => sum + byte, 0) & 0xff;
  return bytes;
}

function table(signature: string, revision: number, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEADER + body.length);
  bytes.set(ascii(signature));
  new DataView(bytes.buffer).setUint32(4, bytes.length, true);
  bytes[8] = revision;
  bytes.set(ascii("SHEER SIMULATE"), 10);
  bytes.set(body, HEADER);
  return checksummed(bytes, 9, bytes.length);
}

/** Two segments: the one that 0xCF8 reaches too, and one with fewer buses. */
function mcfg(): Uint8Array {
  const body = new Uint8Array(8 + 2 * 16);
  const view = new DataView(body.buffer);
  [
    { base: ECAM_BASE, buses: ECAM_BUSES },
    { base: ECAM_BASE_1, buses: ECAM_BUSES_1 },
  ].forEach(({ base, buses }, segment) => {
    const entry = 8 + 16 * segment;
    view.setBigUint64(entry, BigInt(base), true);
    view.setUint16(entry + 8, segment, true);
    body[entry + 11] = buses - 1;
  });
  return table("MCFG", 1, body);
}

/** The processors by their local APICs, and one I/O APIC. */
function madt(processors: readonly MpProcessor[]): Uint8Array {
  const body = new Uint8Array(8 + 8 * processors.length + 12);
  const view = new DataView(body.buffer);
  view.setUint32(0, APIC_BASE, true);
  view.setUint32(4, 1, true);
  processors.forEach(({ apicId, options }, number) => {
    body.set([0, 8, number, apicId, options.disabled ? 0 : 1, 0, 0, 0], 8 + 8 * number);
  });
  const ioApic = 8 + 8 * processors.length;
  body.set([1, 12, processors.length, 0], ioApic);
  view.setUint32(ioApic + 4, IOAPIC_BASE, true);
  return table("APIC", 3, body);
}

/** Name(\_Sn_, Package {a, b, Zero, Zero}) in AML (20.2.5): the sleep types of a state. */
export function sleepState(state: number, a: number, b = a): number[] {
  const integer = (value: number): number[] => (value < 2 ? [value] : [0x0a, value]);
  const elements = [4, ...integer(a), ...integer(b), 0, 0];
  return [0x08, ...ascii(`_S${state}_`), 0x12, elements.length + 1, ...elements];
}

/** The sleep states of a common PC. */
const SLEEP_STATES = [...sleepState(3, 1), ...sleepState(4, 2), ...sleepState(5, 0)];

/** What software looks for in a FADT here: the DSDT, the PM1 control register and the power management timer, 32 bits wide. */
function fadt(dsdt: number): Uint8Array {
  const body = new Uint8Array(244 - HEADER);
  const view = new DataView(body.buffer);
  view.setUint32(40 - HEADER, dsdt, true);
  view.setUint32(64 - HEADER, PM1_CONTROL_PORT, true);
  view.setUint32(76 - HEADER, PM_TIMER_PORT, true);
  body[89 - HEADER] = 2;
  body[91 - HEADER] = 4;
  view.setUint32(112 - HEADER, 1 << 8, true);
  view.setBigUint64(140 - HEADER, BigInt(dsdt), true);
  body.set([1, 16, 0, 2], 172 - HEADER);
  view.setBigUint64(176 - HEADER, BigInt(PM1_CONTROL_PORT), true);
  return table("FACP", 3, body);
}

/** A table by its signature and what follows its header. */
export interface AcpiTable {
  readonly signature: string;
  readonly body: Uint8Array;
}

/** Lays the tables out, and `more`; returns the address of the RSDP. */
export function buildAcpi(
  builder: TableBuilder,
  withMcfg: boolean,
  processors: readonly MpProcessor[],
  more: readonly AcpiTable[],
  aml: readonly number[] = SLEEP_STATES,
): number {
  const dsdt = builder.bytes(table("DSDT", 2, Uint8Array.from(aml)));
  const others = more.map(({ signature, body }) => table(signature, 1, body));
  const tables = [fadt(dsdt), madt(processors), ...(withMcfg ? [mcfg()] : []), ...others].map((bytes) =>
    builder.bytes(bytes),
  );
  const entries = new Uint8Array(8 * tables.length);
  tables.forEach((address, i) => new DataView(entries.buffer).setBigUint64(8 * i, BigInt(address), true));
  const xsdt = builder.bytes(table("XSDT", 1, entries));
  const rsdp = new Uint8Array(36);
  rsdp.set(ascii("RSD PTR "));
  rsdp.set(ascii("SHEER "), 9);
  rsdp[15] = 2;
  new DataView(rsdp.buffer).setUint32(20, rsdp.length, true);
  new DataView(rsdp.buffer).setBigUint64(24, BigInt(xsdt), true);
  return builder.bytes(checksummed(checksummed(rsdp, 8, 20), 32, 36));
}
