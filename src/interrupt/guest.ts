import { LocalApic } from "./apic";
import { DeliveryMode } from "./interprocessor";

/** A message's address: FEEh in 31:20, destination in 19:12, destination mode in bit 2 (AMD APM 2, 16.11). */
const MESSAGE_SPACE: u64 = 0xfee0_0000;
const LOGICAL: u64 = 1 << 2;
const LOGICAL_DESTINATION: u32 = 1 << 11;

const NONE: i32 = -1;

/**
 * Messages that Sheer's devices send to the guest's local APICs, from one processor. While a private vector is being
 * translated there, the first message to the same processor takes its place: the guest's vector is injected and the
 * in-service bit of the private vector stands for it until the guest's EOI. Any other message goes on as an
 * interprocessor interrupt, to the processor that the guest wrote in it.
 */
export class GuestInterrupts {
  private translating: bool = false;
  private translated: i32 = NONE;

  constructor(private readonly apic: LocalApic) {}

  /** Sends a message as the guest wrote it in an MSI or MSI-X entry. Others than fixed vectors are dropped. */
  send(address: u64, data: u32): void {
    if ((address & 0xffff_ffff_fff0_0000) != MESSAGE_SPACE) return;
    const vector = data & 0xff;
    const mode = (data >> 8) & 7;
    if (vector < 0x10 || mode > (DeliveryMode.LowestPriority as u32)) return;
    const destination = ((address >> 12) as u32) & 0xff;
    const logical = (address & LOGICAL) != 0;
    if (!this.apic.aloneAnswersTo(destination, logical)) {
      return this.apic.send((mode << 8) | (logical ? LOGICAL_DESTINATION : 0) | vector, destination);
    }
    if (this.translating && this.translated == NONE) this.translated = vector as i32;
    else if (this.translated != (vector as i32)) this.apic.sendToSelf(vector);
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
    if (vector == NONE) this.apic.endInterrupt();
    return vector;
  }
}
