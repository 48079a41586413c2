import { VirtualMsix } from "../../../pci/msix";
import { NetworkCard } from "../card";
import { netCounters } from "../counters";
import { Isr, NO_VECTOR, QUEUES } from "./layout";

/** One vector for changes of the configuration and one for each queue. */
export const MSIX_VECTORS: u32 = QUEUES + 1;

/** How the device calls the guest: by MSI-X messages if the guest has turned that on, else by the card's own INTx. */
export class VirtioInterrupts {
  readonly msix: VirtualMsix = new VirtualMsix(MSIX_VECTORS);
  private isr: u32 = 0;
  /** Whether the guest is reading the ISR status: it need not be called then. */
  reading: bool = false;
  private configVector: u32 = NO_VECTOR;
  private readonly queueVectors: StaticArray<u32> = new StaticArray<u32>(QUEUES);

  constructor(private readonly card: NetworkCard) {
    this.reset();
  }

  /** What a reset of the device does: the vectors are gone, the MSI-X table is not (2.2.2.1). */
  reset(): void {
    this.isr = 0;
    this.configVector = NO_VECTOR;
    for (let i: u32 = 0; i < QUEUES; i++) unchecked((this.queueVectors[i] = NO_VECTOR));
  }

  getConfigVector(): u32 {
    return this.configVector;
  }
  /** A vector that does not exist reads back as none (2.2.2.2). */
  setConfigVector(vector: u32): void {
    this.configVector = vector < MSIX_VECTORS ? vector : NO_VECTOR;
  }
  getQueueVector(queue: u32): u32 {
    return queue < QUEUES ? unchecked(this.queueVectors[queue]) : NO_VECTOR;
  }
  setQueueVector(queue: u32, vector: u32): void {
    if (queue < QUEUES) unchecked((this.queueVectors[queue] = vector < MSIX_VECTORS ? vector : NO_VECTOR));
    const listener = this.msix.listener;
    if (listener) listener.messagesChanged();
  }

  /** Notes that a queue has something that the guest has not fetched. */
  noteQueue(): void {
    this.isr |= Isr.Queue;
  }

  raiseQueue(queue: u32): void {
    this.isr |= Isr.Queue;
    this.raise(this.getQueueVector(queue));
  }
  raiseConfig(): void {
    this.isr |= Isr.Config;
    this.raise(this.configVector);
  }

  /** ISR status as the guest reads it: that clears it. */
  takeIsr(): u32 {
    const isr = this.isr;
    this.isr = 0;
    return isr;
  }

  private raise(vector: u32): void {
    netCounters.guestInterrupts++;
    if (this.msix.enabled) this.msix.raise(vector);
    else if (!this.reading) this.card.interrupt();
  }
}
