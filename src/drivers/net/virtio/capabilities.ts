import { CapabilityMap } from "../../../pci/capability";
import { CapabilityId } from "../../../pci/header";
import { widthMask } from "../../../pci/widths";
import { Common, IoRegister } from "./layout";
import { VirtioPorts } from "./ports";
import { COMMON, FIELDS, ISR, MSIX_PENDING, MSIX_TABLE, NOTIFY, VirtioWindow } from "./window";

// The capabilities that the guest finds: MSI-X, if it is offered, and those that tell where the registers of the newer
// interface are (virtio 1.2, 4.1.4). Of two of a kind a driver takes the first that it can use: notifications and the ISR
// status are the legacy interface's, since a port is the quicker way to Sheer, and for a driver without ports in memory.
const MSIX_AT: u32 = 0x40;
const COMMON_AT: u32 = 0x50;
const FIELDS_AT: u32 = 0x60;
const ISR_PORT_AT: u32 = 0x70;
const ISR_AT: u32 = 0x80;
const NOTIFY_PORT_AT: u32 = 0x90;
const NOTIFY_AT: u32 = 0xa4;
const ACCESS_AT: u32 = 0xb8;
/** From here on is room for others. */
export const CAPABILITIES_END: u32 = 0xcc;
const IO_BAR: u32 = 0;
const MEMORY_BAR: u32 = 1;
/** Where a driver finds the first register of a function's own fields at least (1.2: 5.1.4). */
const FIELDS_SIZE: u32 = 12;

/** struct virtio_pci_cap: its first dword has the ID, the next place, its length and its type. */
const enum Cap {
  Bar = 4,
  Offset = 8,
  Length = 12,
  /** What one notification place is away from the next; or, with Access, the data. */
  Extra = 16,
  Size = 16,
  LongSize = 20,
}
const enum CapType {
  Common = 1,
  Notify = 2,
  Isr = 3,
  Device = 4,
  Access = 5,
}

/** The capabilities of the device in configuration space. */
export class VirtioCapabilities {
  /** What the driver wants to reach through configuration space (1.2: 4.1.4.9). */
  private accessBar: u32 = 0;
  private accessOffset: u32 = 0;
  private accessLength: u32 = 0;

  /** `card` has those of the card's own that the guest sees too: they come last. */
  constructor(
    private readonly ports: VirtioPorts,
    private readonly window: VirtioWindow,
    private readonly hasMsix: bool,
    private readonly portsHavePlace: bool,
    private readonly card: CapabilityMap,
  ) {}

  /** Where the list begins. */
  get first(): u32 {
    return this.hasMsix ? MSIX_AT : COMMON_AT;
  }

  /** The dword at `register`; `control` is that of MSI-X. */
  read(register: u32, control: u32): u32 {
    if (register < COMMON_AT) return this.hasMsix ? readMsix(register, control) : 0;
    if (register < FIELDS_AT)
      return describe(register - COMMON_AT, CapType.Common, FIELDS_AT, MEMORY_BAR, COMMON, Common.Size);
    if (register < ISR_PORT_AT)
      return describe(register - FIELDS_AT, CapType.Device, ISR_PORT_AT, MEMORY_BAR, FIELDS, FIELDS_SIZE);
    if (register < ISR_AT)
      return this.describePort(register - ISR_PORT_AT, CapType.Isr, ISR_AT, IoRegister.IsrStatus, ISR, 1);
    if (register < NOTIFY_PORT_AT) return describe(register - ISR_AT, CapType.Isr, NOTIFY_PORT_AT, MEMORY_BAR, ISR, 1);
    if (register < NOTIFY_AT)
      return this.describePort(register - NOTIFY_PORT_AT, CapType.Notify, NOTIFY_AT, IoRegister.QueueNotify, NOTIFY, 2);
    if (register < ACCESS_AT) return describe(register - NOTIFY_AT, CapType.Notify, ACCESS_AT, MEMORY_BAR, NOTIFY, 2);
    return register < CAPABILITIES_END ? this.readAccess(register - ACCESS_AT) : this.card.read(register);
  }

  /** As `describe`, of a port; in memory where the guest may have no place for ports: it would not know that. */
  private describePort(offset: u32, type: CapType, next: u32, port: u32, place: u32, length: u32): u32 {
    if (this.portsHavePlace) return describe(offset, type, next, IO_BAR, port, length);
    return describe(offset, type, next, MEMORY_BAR, place, length);
  }

  /** Whether a write of this register is for `write`. */
  covers(register: u32): bool {
    return register >= ACCESS_AT && register < CAPABILITIES_END;
  }

  write(register: u32, value: u32, mask: u32): void {
    switch (register - ACCESS_AT) {
      case Cap.Bar:
        this.accessBar = ((this.accessBar & ~mask) | (value & mask)) & 0xff;
        return;
      case Cap.Offset:
        this.accessOffset = (this.accessOffset & ~mask) | (value & mask);
        return;
      case Cap.Length:
        this.accessLength = (this.accessLength & ~mask) | (value & mask);
        return;
      case Cap.Extra:
        if (this.accessible()) this.writeAccessed(value & mask & widthMask(this.accessLength));
    }
  }

  private readAccess(offset: u32): u32 {
    switch (offset) {
      case Cap.Bar:
        return this.accessBar;
      case Cap.Offset:
        return this.accessOffset;
      case Cap.Length:
        return this.accessLength;
      case Cap.Extra:
        return this.accessible() ? this.readAccessed() & widthMask(this.accessLength) : 0;
      default:
        return describe(offset, CapType.Access, this.card.first, 0, 0, 0);
    }
  }

  /** Accesses of 1, 2 or 4 bytes, aligned, to registers that are there. */
  private accessible(): bool {
    const length = this.accessLength;
    if ((length != 1 && length != 2 && length != 4) || this.accessOffset & (length - 1)) return false;
    return this.accessBar == IO_BAR ? this.accessOffset < this.ports.size : this.accessBar == MEMORY_BAR;
  }
  private readAccessed(): u32 {
    if (this.accessBar == IO_BAR) return this.ports.readAt(this.accessOffset, this.accessLength);
    return this.window.readAt(this.accessOffset, this.accessLength) as u32;
  }
  private writeAccessed(value: u32): void {
    if (this.accessBar == IO_BAR) this.ports.writeAt(this.accessOffset, this.accessLength, value);
    else this.window.writeAt(this.accessOffset, this.accessLength, value as u64);
  }
}

function readMsix(register: u32, control: u32): u32 {
  const offset = register - MSIX_AT;
  if (offset == 0) return CapabilityId.MsiX | (COMMON_AT << 8) | (control << 16);
  if (offset == 4) return MSIX_TABLE | MEMORY_BAR;
  return offset == 8 ? MSIX_PENDING | MEMORY_BAR : 0;
}

/** A dword of a capability that tells of registers at `place` in a BAR. */
function describe(offset: u32, type: CapType, next: u32, bar: u32, place: u32, length: u32): u32 {
  const long = type == CapType.Notify || type == CapType.Access;
  const size: u32 = long ? Cap.LongSize : Cap.Size;
  switch (offset) {
    case 0:
      return CapabilityId.Vendor | (next << 8) | (size << 16) | ((type as u32) << 24);
    case Cap.Bar:
      return bar;
    case Cap.Offset:
      return place;
    case Cap.Length:
      return length;
    default:
      return 0; // all queues are notified at one place
  }
}
