import { log } from "../log/log";
import { physRead16, physRead32, physRead8, physWrite16, physWrite32, physWrite8 } from "../metal";
import { MmioDevice } from "../memory/hooks";

/** Local APIC registers, by offset into its page (AMD APM 2, table 16-2). */
const enum Register {
  TaskPriority = 0x80,
  InterruptCommandLow = 0x300,
}
const enum DeliveryMode {
  Init = 5,
  Startup = 6,
}

/** Where the local APIC lies out of reset; moving it is refused. */
export const APIC_PAGE: u64 = 0xfee0_0000;
export const APIC_PAGE_SIZE: u64 = 0x1000;

/**
 * The local APIC's page between the guest and the real one. Everything goes through but:
 * INIT and SIPI, because a processor that runs a hypervisor must not see them; and a task priority of class 1, which
 * would hold back Sheer's vectors 0x10 to 0x1F and which the guest means for vectors that nothing of its own uses.
 */
export class LocalApic extends MmioDevice {
  private taskPriority: u32 = 0;
  private suppressed: u64 = 0;

  begin(): void {
    this.taskPriority = physRead32(APIC_PAGE + Register.TaskPriority);
    this.write(APIC_PAGE + Register.TaskPriority, 4, this.taskPriority);
  }

  read(address: u64, width: u32): u64 {
    if (width == 4) {
      return (((address as u32) & 0xfff) == Register.TaskPriority ? this.taskPriority : physRead32(address)) as u64;
    }
    if (width == 8) return (physRead32(address) as u64) | ((physRead32(address + 4) as u64) << 32);
    return (width == 1 ? physRead8(address) : physRead16(address)) as u64;
  }

  /**
   * Registers lie 16 bytes apart. What is written between them is undefined (AMD APM 2, 16.3.2), and some local APICs
   * take it for a write to the register below: it is dropped, and so is a part of a register that Sheer looks at.
   */
  write(address: u64, width: u32, value: u64): void {
    const offset = (address as u32) & 0xfff;
    if (width == 8) {
      this.write(address, 4, value & 0xffff_ffff);
      this.write(address + 4, 4, value >> 32);
      return;
    }
    if (offset & 15) return;
    if (width != 4) return writePart(address, width, value);
    if (offset == Register.InterruptCommandLow && this.mustNotLeave(value as u32)) return;
    if (offset == Register.TaskPriority) {
      this.taskPriority = (value as u32) & 0xff;
      value = (this.taskPriority & 0xf0) == 0x10 ? 0 : this.taskPriority;
    }
    physWrite32(address, value as u32);
  }

  private mustNotLeave(command: u32): bool {
    const mode = (command >> 8) & 7;
    if (mode != DeliveryMode.Init && mode != DeliveryMode.Startup) return false;
    if (!this.suppressed++)
      log.info("INIT and start-up interrupts of the guest are kept from the other processors").end();
    return true;
  }
}

/** One or two bytes of a register. */
function writePart(address: u64, width: u32, value: u64): void {
  const offset = (address as u32) & 0xfff;
  if (offset == Register.InterruptCommandLow || offset == Register.TaskPriority) return;
  if (width == 1) physWrite8(address, value as u32);
  else physWrite16(address, value as u32);
}

export const localApic = new LocalApic();
