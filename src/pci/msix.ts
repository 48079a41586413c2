import { processors } from "../vcpu/processors";

/** Message control of the capability (PCI Local Bus 3.0, 6.8.2.3). */
export const enum MsixControl {
  FunctionMask = 1 << 14,
  Enable = 1 << 15,
}
/** Dwords of a table entry (6.8.2.6 to 6.8.2.9). */
const enum Entry {
  Address = 0,
  UpperAddress = 1,
  Data = 2,
  VectorControl = 3,
  Dwords = 4,
}
const MASKED: u32 = 1;

/** Told when messages may have changed. */
export abstract class MessageListener {
  abstract messagesChanged(): void;
}

/** The MSI-X table and pending bits of a device that Sheer shows to the guest. */
export class VirtualMsix {
  listener: MessageListener | null = null;
  private control: u32 = 0;
  private pending: u32 = 0;
  private readonly table: StaticArray<u32>;

  /** `entries` is at most 32. */
  constructor(readonly entries: u32) {
    this.table = new StaticArray<u32>(entries * Entry.Dwords);
    this.reset();
  }

  /** As after power-on: off, all masked, nothing pending. */
  reset(): void {
    const entries = this.entries;
    this.control = this.pending = 0;
    for (let i: u32 = 0; i < entries * Entry.Dwords; i++) unchecked((this.table[i] = 0));
    for (let i: u32 = 0; i < entries; i++) unchecked((this.table[i * Entry.Dwords + Entry.VectorControl] = MASKED));
  }

  get enabled(): bool {
    return (this.control & MsixControl.Enable) != 0;
  }

  /** Message control as the guest reads it: its own two bits and the table's size. */
  readControl(): u32 {
    return this.control | (this.entries - 1);
  }
  writeControl(value: u32): void {
    this.control = value & (MsixControl.Enable | MsixControl.FunctionMask);
    this.deliver();
    this.changed();
  }

  /** The dword at an offset into the table; beyond it there is nothing. */
  readTable(offset: u32): u32 {
    const dword = offset >> 2;
    return dword < this.entries * Entry.Dwords ? unchecked(this.table[dword]) : 0;
  }
  writeTable(offset: u32, value: u32): void {
    const dword = offset >> 2;
    if (dword >= this.entries * Entry.Dwords) return;
    const reserved = (dword & 3) == Entry.VectorControl ? ~MASKED : (dword & 3) == Entry.Address ? 3 : 0;
    unchecked((this.table[dword] = value & ~reserved));
    this.deliver();
    this.changed();
  }

  /** Whether a vector's message would be sent now. */
  isOpen(vector: u32): bool {
    const open = (this.control & (MsixControl.Enable | MsixControl.FunctionMask)) == MsixControl.Enable;
    return open && vector < this.entries && !(this.dword(vector, Entry.VectorControl) & MASKED);
  }
  messageAddress(vector: u32): u64 {
    return (this.dword(vector, Entry.Address) as u64) | ((this.dword(vector, Entry.UpperAddress) as u64) << 32);
  }
  messageData(vector: u32): u32 {
    return this.dword(vector, Entry.Data);
  }

  private dword(vector: u32, dword: Entry): u32 {
    return unchecked(this.table[vector * Entry.Dwords + (dword as u32)]);
  }

  private changed(): void {
    const listener = this.listener;
    if (listener) listener.messagesChanged();
  }

  /** The dword at an offset into the pending bit array. */
  readPending(offset: u32): u32 {
    return offset < 4 ? this.pending : 0;
  }

  /** Sends a vector's message, or notes it while it is masked. Vectors outside the table (0xFFFF: none) send nothing. */
  raise(vector: u32): void {
    if (!this.enabled || vector >= this.entries) return;
    this.pending |= (1 as u32) << vector;
    this.deliver();
  }

  /** Sends what is pending and not masked. */
  private deliver(): void {
    if ((this.control & (MsixControl.Enable | MsixControl.FunctionMask)) != MsixControl.Enable) return;
    for (let vector: u32 = 0; vector < this.entries && this.pending; vector++) {
      const bit = (1 as u32) << vector;
      if (!(this.pending & bit) || !this.isOpen(vector)) continue;
      this.pending &= ~bit;
      processors.current().interrupts.send(this.messageAddress(vector), this.messageData(vector));
    }
  }
}
