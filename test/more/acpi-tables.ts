// The ACPI tables by which an operating system finds the processors of Bochs's PC, and can switch it off (ACPI 6.5).

const headerLength = 36;
const checksum = 9;

/** A table: the header and what follows it (5.2.6). All its bytes add up to 0. */
function table(signature: string, content: Buffer): Buffer {
  const bytes = Buffer.alloc(headerLength + content.length);
  bytes.write(signature, "latin1");
  bytes.writeUInt32LE(bytes.length, 4);
  bytes[8] = 1; // revision
  bytes.write("SHEER SHEERTST", 10, "latin1"); // whose table, and what it is called
  bytes.writeUInt32LE(1, 24); // its revision
  bytes.write("SHER", 28, "latin1"); // what made it, and its revision
  bytes.writeUInt32LE(1, 32);
  content.copy(bytes, headerLength);
  bytes[checksum] = -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;
  return bytes;
}

/** Where fields of the FADT lie (5.2.9). */
const Fadt = {
  interrupt: 46,
  events: 56,
  control: 64,
  timer: 76,
  eventsLength: 88,
  controlLength: 89,
  timerLength: 91,
  flags: 112,
  length: 116,
};
const flags = (1 << 0) | (1 << 2) | (1 << 4) | (1 << 5); // WBINVD, C1, no buttons among the fixed events

/**
 * The PIIX4's power management where OVMF puts it, at port B000h. Without a port for commands to SMM the machine is in ACPI
 * mode from the start. GRUB fills in where the DSDT is.
 */
function fixedDescription(): Buffer {
  const whole = Buffer.alloc(Fadt.length);
  whole.writeUInt16LE(9, Fadt.interrupt);
  whole.writeUInt32LE(0xb000, Fadt.events);
  whole.writeUInt32LE(0xb004, Fadt.control);
  whole.writeUInt32LE(0xb008, Fadt.timer);
  whole[Fadt.eventsLength] = 4;
  whole[Fadt.controlLength] = 2;
  whole[Fadt.timerLength] = 4;
  whole.writeUInt32LE(flags, Fadt.flags);
  return table("FACP", whole.subarray(headerLength));
}

/** The local APICs of so many processors, all of them enabled, in the MADT (5.2.12). */
function interruptControllers(cpus: number): Buffer {
  const place = Buffer.alloc(8);
  place.writeUInt32LE(0xfee0_0000);
  place.writeUInt32LE(1, 4); // there is an 8259 as well
  const localApics = Array.from({ length: cpus }, (_, i) => Buffer.from([0, 8, i, i, 1, 0, 0, 0]));
  return table("APIC", Buffer.concat([place, ...localApics]));
}

/** Name (\_S5_, Package () {0, 0, 0, 0}): what to write to the control register to switch the machine off (7.4.2, 20.2). */
function sleepStates(): Buffer {
  return table("DSDT", Buffer.from([0x08, 0x5c, 0x5f, 0x53, 0x35, 0x5f, 0x12, 0x06, 0x04, 0x00, 0x00, 0x00, 0x00]));
}

/** All tables, by file name. */
export function acpiTables(cpus: number): Record<string, Buffer> {
  return { facp: fixedDescription(), dsdt: sleepStates(), apic: interruptControllers(cpus) };
}
