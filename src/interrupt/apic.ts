import {
  openInterruptWindow,
  pause,
  physRead16,
  physRead32,
  physRead8,
  physWrite16,
  physWrite32,
  physWrite8,
  rdmsr,
  thisProcessor,
  tryWrmsr,
  wrmsr,
} from "../metal";
import {
  APIC_BASE_ENABLED,
  APIC_BASE_X2APIC,
  ApicRegister,
  LocalVector,
  MSR_APIC_BASE,
  MSR_X2APIC_INTERRUPT_COMMAND,
  SpuriousVector,
  X2APIC_MSRS,
} from "./apic-registers";
import { InterruptWindow } from "./window";
import { processors } from "../vcpu/processors";
import { DeliveryMode, sendInterprocessor } from "./interprocessor";
import { privateVectors } from "./vectors";

const DELIVERY_PENDING: u32 = 1 << 12;
const TO_SELF: u32 = 1 << 18;
const PATIENCE: u32 = 100_000;
const VECTORS: u32 = 256;

/** Where the local APIC lies out of reset; moving it is refused. */
export const APIC_PAGE: u64 = 0xfee0_0000;
export const APIC_PAGE_SIZE: u64 = 0x1000;
const NOWHERE: u64 = ~0;

const X2APIC_COMMAND_RESERVED: u64 = 0xfff3_2000;

const BROADCAST: u32 = 0xff;
const X2APIC_BROADCAST: u32 = 0xffff_ffff;
const FLAT: u32 = 0xf;

/** How the guest has its local APIC: not at all, in a page, or in MSRs. */
export const enum ApicMode {
  Disabled,
  Xapic,
  X2apic,
  /** What the bits of the APIC base must not say. */
  Illegal,
}

/**
 * A processor's local APIC between the guest and the real one: to be used on that processor. Everything goes through but:
 * INIT, SIPI and NMI, which Sheer carries out itself; and a task priority of class 1, which would hold back Sheer's
 * vectors 0x10 to 0x1F and which the guest means for vectors that nothing of its own uses. Its id cannot be changed, as on
 * newer processors: other processors could not reach this one any more. For the same reason it is never really disabled.
 */
export class LocalApic {
  mode: ApicMode = ApicMode.Xapic;
  /** Whether the real one is in x2APIC mode. */
  private x2apic: bool = false;
  /** The page that its registers answer in. */
  page: u64 = APIC_PAGE;
  /** As the guest wrote them; others read the destinations. */
  taskPriority: u32 = 0;
  private logicalDestination: u32 = 0;
  private destinationFormat: u32 = 0xffff_ffff;
  private identity: u32 = 0;

  begin(): void {
    this.noteMode();
    this.writeTaskPriority(this.realRead(ApicRegister.TaskPriority));
  }

  enterX2apic(): void {
    wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2APIC);
    this.noteMode();
  }

  /**
   * The guest disables it. The real one goes on, for Sheer's NMIs, and lets through what reaches a processor without one:
   * the boot processor's interrupts from an 8259, and NMIs (AMD APM 2, 16.3.1).
   */
  disable(bootProcessor: bool): void {
    this.reset();
    this.mode = ApicMode.Disabled;
    this.page = NOWHERE;
    if (!bootProcessor) return;
    this.realWrite(ApicRegister.SpuriousVector, SpuriousVector.Enabled);
    this.realWrite(ApicRegister.LocalInterrupt0, LocalVector.EXTERNAL);
    this.realWrite(ApicRegister.LocalInterrupt1, LocalVector.NMI);
  }

  /** And enables it again, out of reset and in xAPIC mode. True if NMIs may have been lost. */
  enable(): bool {
    this.reset();
    const leaves = this.x2apic;
    if (leaves) {
      const base = rdmsr(MSR_APIC_BASE) & ~APIC_BASE_X2APIC;
      wrmsr(MSR_APIC_BASE, base & ~APIC_BASE_ENABLED);
      wrmsr(MSR_APIC_BASE, base);
    }
    this.noteMode();
    return leaves;
  }

  /** After the processor has changed to or from x2APIC mode: what others need to know of it. */
  noteMode(): void {
    this.x2apic = (rdmsr(MSR_APIC_BASE) & APIC_BASE_X2APIC) != 0;
    this.mode = this.x2apic ? ApicMode.X2apic : ApicMode.Xapic;
    this.page = this.x2apic ? NOWHERE : APIC_PAGE;
    const id = this.realRead(ApicRegister.Id);
    this.identity = this.x2apic ? id : id >> 24;
    this.logicalDestination = this.realRead(ApicRegister.LogicalDestination);
    this.destinationFormat = this.x2apic ? 0 : this.realRead(ApicRegister.DestinationFormat);
  }

  /** Its identifier, 8 bits, or 32 in x2APIC mode. */
  get id(): u32 {
    return this.identity;
  }

  /** Whether an interrupt for this destination reaches it; asked by any processor. */
  answersTo(destination: u32, logical: bool): bool {
    if (this.mode == ApicMode.Disabled) return false;
    if (destination == (this.x2apic ? X2APIC_BROADCAST : BROADCAST)) return true;
    if (!logical) return destination == this.identity;
    const mine = this.logicalDestination;
    if (this.x2apic) return mine >> 16 == destination >> 16 && (mine & destination & 0xffff) != 0;
    if (this.destinationFormat >> 28 == FLAT) return ((mine >> 24) & destination) != 0;
    return mine >> 28 == destination >> 4 && ((mine >> 24) & destination & 15) != 0; // clusters
  }

  /** Whether it alone does. */
  aloneAnswersTo(destination: u32, logical: bool): bool {
    if (!logical) return destination == this.identity;
    return destination != 0 && destination == (this.x2apic ? this.logicalDestination : this.logicalDestination >> 24);
  }

  /** What the guest reads at an address in the page. Widths are 1, 2, 4 or 8 bytes. */
  @inline read(address: u64, width: u32): u64 {
    if (width == 4) return this.readRegister((address as u32) & 0xfff) as u64;
    if (width == 8) return (physRead32(address) as u64) | ((physRead32(address + 4) as u64) << 32);
    return (width == 1 ? physRead8(address) : physRead16(address)) as u64;
  }

  /**
   * Registers lie 16 bytes apart. What is written between them is undefined (AMD APM 2, 16.3.2), and some local APICs
   * take it for a write to the register below: it is dropped, and so is a part of a register that Sheer looks at.
   */
  @inline write(address: u64, width: u32, value: u64): void {
    const offset = (address as u32) & 0xfff;
    if (offset & 15) return;
    if (width >= 4) this.writeRegister(offset, value as u32);
    else writePart(address, width, value);
  }

  @inline private readRegister(offset: u32): u32 {
    return offset == ApicRegister.TaskPriority ? this.taskPriority : physRead32(APIC_PAGE + (offset as u64));
  }

  /** A write of all 32 bits of a register. */
  @inline private writeRegister(offset: u32, value: u32): void {
    switch (offset) {
      case ApicRegister.Id:
        return;
      case ApicRegister.TaskPriority:
        return this.writeTaskPriority(value);
      case ApicRegister.InterruptCommandLow:
        if (sendInterprocessor(value, physRead32(APIC_PAGE + ApicRegister.InterruptCommandHigh) >> 24)) return;
        break;
      case ApicRegister.LogicalDestination:
        this.logicalDestination = value;
        break;
      case ApicRegister.DestinationFormat:
        this.destinationFormat = value;
    }
    physWrite32(APIC_PAGE + (offset as u64), value);
  }

  /** The guest's write of the x2APIC's interrupt command; false if it gets #GP. */
  writeCommand(value: u64): bool {
    if (this.mode != ApicMode.X2apic || value & X2APIC_COMMAND_RESERVED) return false;
    if (sendInterprocessor(value as u32, (value >> 32) as u32)) return true;
    return tryWrmsr(MSR_X2APIC_INTERRUPT_COMMAND, value);
  }

  writeTaskPriority(value: u32): void {
    this.taskPriority = value & 0xff;
    this.realWrite(ApicRegister.TaskPriority, (value & 0xf0) == 0x10 ? 0 : this.taskPriority);
    if (value & 0xe0) this.raised();
  }

  /** The guest's write of CR8, which is the task priority's class (AMD APM 2, 16.6.5). */
  writeTaskPriorityClass(value: u32): void {
    this.taskPriority = value << 4;
    this.realWrite(ApicRegister.TaskPriority, this.taskPriority);
    if (value) this.raised();
  }

  /** The task priority now keeps private vectors back. */
  private raised(): void {
    if (thisProcessor() == 0) privateVectors.heldBack();
  }

  /** Sends an interrupt to other processors or this one, whatever the guest is about to send. */
  send(command: u32, destination: u32): void {
    if (this.x2apic) {
      wrmsr(MSR_X2APIC_INTERRUPT_COMMAND, ((destination as u64) << 32) | (command as u64));
      return;
    }
    const prepared = this.realRead(ApicRegister.InterruptCommandHigh);
    this.awaitSent();
    this.realWrite(ApicRegister.InterruptCommandHigh, destination << 24);
    this.realWrite(ApicRegister.InterruptCommandLow, command);
    this.awaitSent();
    this.realWrite(ApicRegister.InterruptCommandHigh, prepared);
  }

  sendNmi(destination: u32): void {
    this.send((DeliveryMode.Nmi as u32) << 8, destination);
  }

  sendToSelf(vector: u32): void {
    if (this.x2apic) wrmsr(MSR_X2APIC_INTERRUPT_COMMAND, (TO_SELF | vector) as u64);
    else this.realWrite(ApicRegister.InterruptCommandLow, TO_SELF | vector);
  }

  endInterrupt(): void {
    this.realWrite(ApicRegister.EndOfInterrupt, 0);
  }

  /** What INIT does to it (AMD APM 2, 16.3.1): it is disabled, and nothing is pending or in service. */
  reset(): void {
    this.writeTaskPriority(0);
    for (let at: u32 = ApicRegister.FirstLocalVector; at <= (ApicRegister.LastLocalVector as u32); at += 16)
      this.realWrite(at, LocalVector.MASKED);
    this.realWrite(ApicRegister.TimerInitialCount, 0);
    this.realWrite(ApicRegister.TimerDivide, 0);
    for (let i: u32 = 0; i < VECTORS; i++) {
      this.endInterrupt();
      const taken = openInterruptWindow(true);
      // It may announce the start-up interrupt that follows: a processor that missed it could never be called again.
      if (taken & InterruptWindow.Nmi) processors.current().tookNmi();
      if (!(taken & InterruptWindow.External)) break;
    }
    for (let i: u32 = 0; i < VECTORS; i++) this.endInterrupt();
    if (!this.x2apic) {
      this.writeRegister(ApicRegister.LogicalDestination, 0);
      this.writeRegister(ApicRegister.DestinationFormat, 0xffff_ffff);
    }
    this.realWrite(ApicRegister.ErrorStatus, 0); // the first write only fetches what has accumulated
    this.realWrite(ApicRegister.ErrorStatus, 0);
    this.realWrite(ApicRegister.SpuriousVector, SpuriousVector.Disabled);
  }

  private realRead(offset: u32): u32 {
    return this.x2apic ? (rdmsr(X2APIC_MSRS + (offset >> 4)) as u32) : physRead32(APIC_PAGE + (offset as u64));
  }
  private realWrite(offset: u32, value: u32): void {
    if (this.x2apic) wrmsr(X2APIC_MSRS + (offset >> 4), value as u64);
    else physWrite32(APIC_PAGE + (offset as u64), value);
  }

  private awaitSent(): void {
    for (let i: u32 = 0; i < PATIENCE && this.realRead(ApicRegister.InterruptCommandLow) & DELIVERY_PENDING; i++)
      pause();
  }
}

/** One or two bytes of a register. */
function writePart(address: u64, width: u32, value: u64): void {
  switch ((address as u32) & 0xfff) {
    case ApicRegister.Id:
    case ApicRegister.InterruptCommandLow:
    case ApicRegister.TaskPriority:
    case ApicRegister.LogicalDestination:
    case ApicRegister.DestinationFormat:
      return;
  }
  if (width == 1) physWrite8(address, value as u32);
  else physWrite16(address, value as u32);
}
