import { LocalApic } from "./apic";
import { DeliveryMode } from "./interprocessor";

/** A message's address: FEEh in 31:20, destination in 19:12, destination mode in bit 2 (AMD APM 2, 16.11). */
export const MESSAGE_SPACE: u64 = 0xfee0_0000;
const LOGICAL: u64 = 1 << 2;
const LOGICAL_DESTINATION: u32 = 1 << 11;

const NONE: i32 = -1;

/** The vector of a message that asks for a fixed or lowest-priority interrupt, or 0. */
export function messageVector(address: u64, data: u32): u32 {
  if ((address & 0xffff_ffff_fff0_0000) != MESSAGE_SPACE) return 0;
  const vector = data & 0xff;
  return vector < 0x10 || ((data >> 8) & 7) > (DeliveryMode.LowestPriority as u32) ? 0 : vector;
}

/**
 * Messages that Sheer's devices send to the guest's local APICs, from one processor. While a private vector is being
 * translated there, the first message to the same processor takes its place: the guest's vector is injected and the
 * in-service bit of the private vector stands for it until the guest's EOI. Any other message goes on as an
 * interprocessor interrupt, to the processor that the guest wrote in it.
 */
export class GuestInterrupts {
  private translating: bool = false;
  private delivering: bool = false;
  private translated: i32 = NONE;

  constructor(private readonly apic: LocalApic) {}

  /** Sends a message as the guest wrote it in an MSI or MSI-X entry. Others than fixed vectors are dropped. */
  send(address: u64, data: u32): void {
    const vector = messageVector(address, data);
    if (!vector) return;
    const mode = (data >> 8) & 7;
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

  /** The guest is about to be given `vector`: a message with it to this processor is thereby delivered. */
  beginDelivery(vector: u32): void {
    this.delivering = true;
    this.translated = vector as i32;
  }
  endDelivery(): void {
    this.delivering = false;
    this.translated = NONE;
  }

  /** Retires a private vector whose handler did not come to an end. */
  abandonTranslation(): void {
    if (this.delivering) {
      this.apic.endInterrupt();
      this.endDelivery();
    }
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
