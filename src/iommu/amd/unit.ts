import { takePages } from "../../memory/frames";
import { physOf, physRead32, physRead64, physWrite32, physWrite64 } from "../../metal";
import { DmaFault, IommuUnit } from "../unit";
import {
  Command,
  COMMAND_SIZE,
  Control,
  ControlFlag,
  COUNTERS_SIZE,
  EVENT_LOG_SIZE,
  EVENT_OVERFLOW,
  EVENT_SIZE,
  Feature,
  IvhdFlag,
  PAGE_OF_ENTRIES,
  PLAIN_SIZE,
  Register,
} from "./registers";

/** What the unit stores when it has come to the end of the commands. */
const DONE: u64 = 0x5348_4545_5200_0001;

/** An AMD IOMMU. */
export class AmdUnit extends IommuUnit {
  /** Value of its device table's base register. */
  deviceTable: u64 = 0;
  private readonly commands: u64 = physOf(takePages(1));
  private readonly events: u64 = physOf(takePages(1));
  /** Where the unit says that it is done. */
  private readonly completion: u64 = physOf(takePages(1));

  /** `device` is its own PCI function, `flags` those of its IVHD block. */
  constructor(
    registers: u64,
    segment: u32,
    readonly device: u32,
    private readonly flags: u32,
  ) {
    super(registers, sizeOf(registers), segment);
  }

  obstacle(): string {
    const control = physRead64(this.registers + Register.Control);
    return control & (Control.IOMMU_ENABLE | Control.COMMAND_BUFFER_ENABLE) ? "is in use by the firmware" : "";
  }

  /** The tables and rings first, then translation (AMD 48882, 2.6). */
  enable(): bool {
    const registers = this.registers;
    const control = this.firmwareControl();
    physWrite64(registers + Register.DeviceTableBase, this.deviceTable);
    physWrite64(registers + Register.CommandBufferBase, this.commands | PAGE_OF_ENTRIES);
    physWrite64(registers + Register.CommandBufferHead, 0);
    physWrite64(registers + Register.CommandBufferTail, 0);
    this.placeEvents();
    physWrite64(registers + Register.Control, control | Control.EVENT_LOG_ENABLE);
    const enabled = control | Control.EVENT_LOG_ENABLE | Control.COMMAND_BUFFER_ENABLE | Control.IOMMU_ENABLE;
    physWrite64(registers + Register.Control, enabled);
    if (this.invalidate()) return true;
    physWrite64(registers + Register.Control, control);
    return false;
  }

  takeFault(fault: DmaFault): bool {
    const head = physRead32(this.registers + Register.EventLogHead);
    if (head == physRead32(this.registers + Register.EventLogTail)) {
      if (physRead32(this.registers + Register.Status) & EVENT_OVERFLOW) this.restartEvents();
      return false;
    }
    const event = this.events + (head as u64);
    const first = physRead64(event);
    fault.device = (first as u32) & 0xffff;
    fault.address = physRead64(event + 8) & ~0xfff;
    fault.reason = (first >> 60) as u32;
    physWrite32(this.registers + Register.EventLogHead, (head + EVENT_SIZE) % EVENT_LOG_SIZE);
    return true;
  }

  /** Bits of the control register that the firmware says the machine needs. */
  private firmwareControl(): u64 {
    const flags = this.flags;
    return (
      (flags & IvhdFlag.HtTunEn ? ControlFlag.HT_TUN_EN : 0) |
      (flags & IvhdFlag.PassPW ? ControlFlag.PASS_PW : 0) |
      (flags & IvhdFlag.ResPassPW ? ControlFlag.RES_PASS_PW : 0) |
      (flags & IvhdFlag.Isoc ? ControlFlag.ISOC : 0) |
      (flags & IvhdFlag.Coherent ? ControlFlag.COHERENT : 0)
    );
  }

  /** Has it forget what it has cached; units that cannot do so at once know nothing after their reset. */
  private invalidate(): bool {
    const all = (physRead64(this.registers + Register.ExtendedFeature) & Feature.INVALIDATE_ALL) != 0;
    let at = this.commands;
    if (all) {
      physWrite64(at, Command.INVALIDATE_ALL);
      physWrite64(at + 8, 0);
      at += COMMAND_SIZE;
    }
    physWrite64(at, Command.COMPLETION_WAIT | Command.STORE | this.completion);
    physWrite64(at + 8, DONE);
    physWrite64(this.registers + Register.CommandBufferTail, at + COMMAND_SIZE - this.commands);
    return this.waitUntil();
  }

  protected settled(): bool {
    return physRead64(this.completion) == DONE;
  }

  /** After an overflow the log begins anew, at its start, when it is turned off and on (48882, 2.5.2). */
  private restartEvents(): void {
    const control = physRead64(this.registers + Register.Control);
    physWrite64(this.registers + Register.Control, control & ~Control.EVENT_LOG_ENABLE);
    this.placeEvents();
    physWrite32(this.registers + Register.Status, EVENT_OVERFLOW);
    physWrite64(this.registers + Register.Control, control);
  }

  private placeEvents(): void {
    physWrite64(this.registers + Register.EventLogBase, this.events | PAGE_OF_ENTRIES);
    physWrite64(this.registers + Register.EventLogHead, 0);
    physWrite64(this.registers + Register.EventLogTail, 0);
  }
}

function sizeOf(registers: u64): u64 {
  return physRead64(registers + Register.ExtendedFeature) & Feature.COUNTERS ? COUNTERS_SIZE : PLAIN_SIZE;
}
