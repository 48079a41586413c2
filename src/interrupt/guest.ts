import { physRead32, physWrite32 } from "../metal";

/** Local APIC registers at their xAPIC offsets (AMD APM 2, 16.3.2). */
const APIC_BASE: u64 = 0xfee0_0000;
const ID: u64 = 0x20;
const EOI: u64 = 0xb0;
const ICR_LOW: u64 = 0x300;
const ICR_HIGH: u64 = 0x310;
const ICR_SELF_FIXED: u32 = 0x0004_0000;
const ICR_NMI: u32 = 0x0000_0400;

const NONE: i32 = -1;

/**
 * Messages that Sheer's devices send to the guest's local APIC. While a private vector is being translated, the first
 * message takes its place: the guest's vector is injected and the in-service bit of the private vector stands for it
 * until the guest's EOI. Any further message goes through the local APIC as an interrupt to itself.
 */
export class GuestInterrupts {
  private translating: bool = false;
  private translated: i32 = NONE;

  /** Sends a message as the guest wrote it in an MSI or MSI-X entry (AMD APM 2, 16.11). Others than fixed vectors are dropped. */
  send(address: u64, data: u32): void {
    if ((address & 0xffff_ffff_fff0_0000) != APIC_BASE) return;
    const vector = (data & 0xff) as i32;
    if (vector < 0x10 || (data & 0x700) > 0x100) return;
    if (this.translating && this.translated == NONE) {
      this.translated = vector;
      return;
    }
    if (this.translated == vector) return;
    physWrite32(APIC_BASE + ICR_LOW, ICR_SELF_FIXED | vector);
  }

  /** Sends an NMI to this processor, by its APIC's ID: the shorthand for itself is for fixed vectors only (AMD APM 2, 16.5). */
  sendNmi(): void {
    const prepared = physRead32(APIC_BASE + ICR_HIGH); // by the guest, perhaps, for an interrupt that it is about to send
    physWrite32(APIC_BASE + ICR_HIGH, physRead32(APIC_BASE + ID) & 0xff00_0000);
    physWrite32(APIC_BASE + ICR_LOW, ICR_NMI);
    physWrite32(APIC_BASE + ICR_HIGH, prepared);
  }

  beginTranslation(): void {
    this.translating = true;
    this.translated = NONE;
  }

  /** Retires a private vector whose handler did not come to an end. */
  abandonTranslation(): void {
    if (!this.translating) return;
    this.translated = NONE;
    this.endTranslation();
  }

  /** The vector to inject in place of the private one, or -1: then the private one has been retired. */
  endTranslation(): i32 {
    const vector = this.translated;
    this.translating = false;
    this.translated = NONE;
    if (vector == NONE) physWrite32(APIC_BASE + EOI, 0);
    return vector;
  }
}

export const guestInterrupts = new GuestInterrupts();
