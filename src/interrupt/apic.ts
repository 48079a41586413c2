import {
  openInterruptWindow,
  pause,
  physRead16,
  physRead32,
  physRead8,
  physWrite16,
  physWrite32,
  physWrite8,
} from "../metal";
import { MmioDevice } from "../memory/hooks";
import { processors } from "../vcpu/processors";
import { DeliveryMode, sendInterprocessor } from "./interprocessor";

/** Local APIC registers, by offset into its page (AMD APM 2, table 16-2). */
const enum Register {
  Id = 0x20,
  TaskPriority = 0x80,
  EndOfInterrupt = 0xb0,
  LogicalDestination = 0xd0,
  DestinationFormat = 0xe0,
  SpuriousVector = 0xf0,
  InterruptCommandLow = 0x300,
  InterruptCommandHigh = 0x310,
  FirstLocalVector = 0x320,
  LastLocalVector = 0x370,
  TimerInitialCount = 0x380,
  TimerDivide = 0x3e0,
}
const MASKED: u32 = 1 << 16;
const ENABLED: u32 = 1 << 8;
const DELIVERY_PENDING: u32 = 1 << 12;
const TO_SELF: u32 = 1 << 18;
const PATIENCE: u32 = 100_000;
const VECTORS: u32 = 256;

/** Where the local APIC lies out of reset; moving it is refused. */
export const APIC_PAGE: u64 = 0xfee0_0000;
export const APIC_PAGE_SIZE: u64 = 0x1000;

/**
 * A processor's local APIC between the guest and the real one: to be used on that processor. Everything goes through but:
 * INIT and SIPI, because a processor that runs a hypervisor must not see them; and a task priority of class 1, which
 * would hold back Sheer's vectors 0x10 to 0x1F and which the guest means for vectors that nothing of its own uses.
 */
export class LocalApic {
  /** As the guest wrote them. */
  private taskPriority: u32 = 0;
  logicalDestination: u32 = 0;
  destinationFormat: u32 = 0xffff_ffff;

  begin(): void {
    this.logicalDestination = physRead32(APIC_PAGE + Register.LogicalDestination);
    this.destinationFormat = physRead32(APIC_PAGE + Register.DestinationFormat);
    this.writeTaskPriority(physRead32(APIC_PAGE + Register.TaskPriority));
  }

  id(): u32 {
    return physRead32(APIC_PAGE + Register.Id) >> 24;
  }

  readRegister(offset: u32): u32 {
    return offset == Register.TaskPriority ? this.taskPriority : physRead32(APIC_PAGE + (offset as u64));
  }

  /** A write of all 32 bits of a register. */
  writeRegister(offset: u32, value: u32): void {
    switch (offset) {
      case Register.TaskPriority:
        return this.writeTaskPriority(value);
      case Register.InterruptCommandLow:
        if (sendInterprocessor(value, physRead32(APIC_PAGE + Register.InterruptCommandHigh) >> 24)) return;
        break;
      case Register.LogicalDestination:
        this.logicalDestination = value;
        break;
      case Register.DestinationFormat:
        this.destinationFormat = value;
    }
    physWrite32(APIC_PAGE + (offset as u64), value);
  }

  /** Sends an interrupt to other processors or this one, whatever the guest is about to send. */
  send(command: u32, destination: u32): void {
    const prepared = physRead32(APIC_PAGE + Register.InterruptCommandHigh);
    for (let i: u32 = 0; i < PATIENCE && this.sending(); i++) pause();
    physWrite32(APIC_PAGE + Register.InterruptCommandHigh, destination << 24);
    physWrite32(APIC_PAGE + Register.InterruptCommandLow, command);
    for (let i: u32 = 0; i < PATIENCE && this.sending(); i++) pause();
    physWrite32(APIC_PAGE + Register.InterruptCommandHigh, prepared);
  }

  sendNmi(destination: u32): void {
    this.send((DeliveryMode.Nmi as u32) << 8, destination);
  }

  sendToSelf(vector: u32): void {
    physWrite32(APIC_PAGE + Register.InterruptCommandLow, TO_SELF | vector);
  }

  endInterrupt(): void {
    physWrite32(APIC_PAGE + Register.EndOfInterrupt, 0);
  }

  /** What INIT does to it (AMD APM 2, 16.3.1): it is disabled, and nothing is pending or in service. */
  reset(): void {
    this.writeTaskPriority(0);
    for (let at: u32 = Register.FirstLocalVector; at <= (Register.LastLocalVector as u32); at += 16)
      physWrite32(APIC_PAGE + (at as u64), MASKED);
    physWrite32(APIC_PAGE + Register.TimerInitialCount, 0);
    physWrite32(APIC_PAGE + Register.TimerDivide, 0);
    for (let i: u32 = 0; i < VECTORS; i++) {
      this.endInterrupt();
      if (!openInterruptWindow(true)) break;
    }
    for (let i: u32 = 0; i < VECTORS; i++) this.endInterrupt();
    this.logicalDestination = 0;
    this.destinationFormat = 0xffff_ffff;
    physWrite32(APIC_PAGE + Register.LogicalDestination, 0);
    physWrite32(APIC_PAGE + Register.DestinationFormat, 0xffff_ffff);
    physWrite32(APIC_PAGE + Register.SpuriousVector, 0xff & ~ENABLED);
  }

  private sending(): bool {
    return (physRead32(APIC_PAGE + Register.InterruptCommandLow) & DELIVERY_PENDING) != 0;
  }

  private writeTaskPriority(value: u32): void {
    this.taskPriority = value & 0xff;
    physWrite32(APIC_PAGE + Register.TaskPriority, (value & 0xf0) == 0x10 ? 0 : this.taskPriority);
  }
}

/** The page at which every processor finds its own local APIC. */
export class ApicPage extends MmioDevice {
  read(address: u64, width: u32): u64 {
    if (width == 4) return processors.current().apic.readRegister((address as u32) & 0xfff) as u64;
    if (width == 8) return (physRead32(address) as u64) | ((physRead32(address + 4) as u64) << 32);
    return (width == 1 ? physRead8(address) : physRead16(address)) as u64;
  }

  /**
   * Registers lie 16 bytes apart. What is written between them is undefined (AMD APM 2, 16.3.2), and some local APICs
   * take it for a write to the register below: it is dropped, and so is a part of a register that Sheer looks at.
   */
  write(address: u64, width: u32, value: u64): void {
    const offset = (address as u32) & 0xfff;
    if (offset & 15) return;
    if (width >= 4) processors.current().apic.writeRegister(offset, value as u32);
    else writePart(address, width, value);
  }
}

/** One or two bytes of a register. */
function writePart(address: u64, width: u32, value: u64): void {
  switch ((address as u32) & 0xfff) {
    case Register.InterruptCommandLow:
    case Register.TaskPriority:
    case Register.LogicalDestination:
    case Register.DestinationFormat:
      return;
  }
  if (width == 1) physWrite8(address, value as u32);
  else physWrite16(address, value as u32);
}
