import { physRead32, physRead64, physWrite32, physWrite64 } from "../../metal";
import { DmaFault, IommuUnit } from "../unit";
import {
  Capability,
  ContextCommand,
  FAULT_OVERFLOW,
  FAULT_PENDING,
  FaultRecord,
  Global,
  GLOBAL_LASTING,
  Iotlb,
  IOTLB_OFFSET,
  PROTECTED_MEMORY,
  Register,
  Width,
} from "./registers";

const IN_USE: u32 = Global.TranslationEnable | Global.InterruptRemappingEnable | Global.QueuedInvalidationEnable;
/** From this major version on there is no invalidation by registers (11.4.1). */
const QUEUES_ONLY: u32 = 6;

/** A DMA remapping unit of Intel VT-d. */
export class IntelUnit extends IommuUnit {
  /** Physical address of its root table. */
  root: u64 = 0;
  // What `settled` looks at: a register, some of its bits, and what they are to be.
  private register: u64 = 0;
  private bits: u32 = 0;
  private wanted: u32 = 0;

  private get capability(): u64 {
    return physRead64(this.registers + Register.Capability);
  }

  /** Levels of page tables that it walks, as Width bits. */
  get widths(): u32 {
    return ((this.capability >> Capability.ADJUSTED_WIDTHS) as u32) & (Width.Levels3 | Width.Levels4);
  }

  obstacle(): string {
    if (physRead32(this.registers + Register.GlobalStatus) & IN_USE) return "is in use by the firmware";
    if (!(this.capability & Capability.PAGES_1G)) return "has no pages of 1 GiB";
    if (!this.widths) return "walks tables of neither 3 nor 4 levels";
    if (((physRead32(this.registers + Register.Version) >> 4) & 15) >= QUEUES_ONLY)
      return "takes commands by queue only";
    return "";
  }

  /** The root table, then no translation that came of another, then translation (Intel VT-d, 11.4.4.1). */
  enable(): bool {
    const flushed = !(this.capability & Capability.WRITE_BUFFER_FLUSH) || this.command(Global.WriteBufferFlush, 0);
    physWrite64(this.registers + Register.RootTableAddress, this.root);
    const ready = flushed && this.command(Global.SetRootTablePointer, Global.SetRootTablePointer) && this.invalidate();
    if (ready && this.command(Global.TranslationEnable, Global.TranslationEnable)) {
      const protection = this.registers + Register.ProtectedMemoryEnable;
      if (physRead32(protection) & PROTECTED_MEMORY) physWrite32(protection, 0);
      return true;
    }
    const lasting = physRead32(this.registers + Register.GlobalStatus) & GLOBAL_LASTING;
    physWrite32(this.registers + Register.GlobalCommand, lasting & ~Global.TranslationEnable);
    return false;
  }

  takeFault(fault: DmaFault): bool {
    const capability = this.capability;
    const first = this.registers + (((capability >> Capability.FAULT_OFFSET) & 0x3ff) << 4);
    const count = ((capability >> Capability.FAULT_COUNT) & 0xff) + 1;
    for (let i: u64 = 0; i < count; i++) {
      const record = first + i * FaultRecord.Size;
      const reason = physRead32(record + FaultRecord.Reason);
      if (!(reason & FAULT_PENDING)) continue;
      fault.device = physRead32(record + FaultRecord.Source) & 0xffff;
      fault.address = physRead64(record + FaultRecord.Address) & ~0xfff;
      fault.reason = reason & 0xff;
      physWrite32(record + FaultRecord.Reason, FAULT_PENDING);
      return true;
    }
    const status = this.registers + Register.FaultStatus;
    if (physRead32(status) & FAULT_OVERFLOW) physWrite32(status, FAULT_OVERFLOW);
    return false;
  }

  /** Writes a global command and waits until the status has `wanted` in its place. */
  private command(bit: u32, wanted: u32): bool {
    const lasting = physRead32(this.registers + Register.GlobalStatus) & GLOBAL_LASTING;
    physWrite32(this.registers + Register.GlobalCommand, lasting | bit);
    return this.become(this.registers + Register.GlobalStatus, bit, wanted);
  }

  /** Forgets all translations, first the context entries and then what came of them (6.2.2). */
  private invalidate(): bool {
    const context = this.registers + Register.ContextCommand;
    physWrite64(context, ContextCommand.INVALIDATE | ContextCommand.GLOBAL);
    if (!this.become(context + 4, 1 << 31, 0)) return false;
    const offset = ((physRead64(this.registers + Register.ExtendedCapability) >> IOTLB_OFFSET) & 0x3ff) << 4;
    const iotlb = this.registers + offset + Register.IotlbInvalidate;
    physWrite64(iotlb, Iotlb.INVALIDATE | Iotlb.GLOBAL | Iotlb.DRAIN_READS | Iotlb.DRAIN_WRITES);
    return this.become(iotlb + 4, 1 << 31, 0);
  }

  private become(register: u64, bits: u32, wanted: u32): bool {
    this.register = register;
    this.bits = bits;
    this.wanted = wanted;
    return this.waitUntil();
  }

  protected settled(): bool {
    return (physRead32(this.register) & this.bits) == this.wanted;
  }
}
