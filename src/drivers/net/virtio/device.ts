import { InterruptHandler } from "../../../interrupt/vectors";
import { log } from "../../../log/log";
import { MessageListener } from "../../../pci/msix";
import { TicketLock } from "../../../threads/lock";
import { Cause, NetworkCard, Offload } from "../card";
import { netCounters } from "../counters";
import { VirtioInterrupts } from "./interrupts";
import { DeviceStatus, Feature } from "./layout";
import { Virtqueue } from "./queue";
import { ReceiveQueue } from "./receive";
import { TransmitQueue } from "./transmit";

const RECEIVE: u32 = 0;
const TRANSMIT: u32 = 1;

/** Another way for the card to interrupt. */
export abstract class InterruptFallback extends MessageListener {
  abstract useGuestMessages(): void;
  /** Tells the card once more how to interrupt: it was reset. */
  abstract restore(): void;
}

/**
 * The virtio-net device itself, without its face on the PCI bus: features, status, two queues, link state. It works
 * only when it is called: by the card's interrupt, by the guest's notification, by the guest's read of the ISR status.
 */
export class VirtioNet extends InterruptHandler {
  readonly interrupts: VirtioInterrupts;
  private readonly receiveQueue: ReceiveQueue;
  private readonly transmitQueue: TransmitQueue;
  private status: u32 = 0;
  private busMaster: bool = false;
  private features: u32 = 0;
  /** The link as the guest was last told of it. */
  private link: bool = false;
  /** Whether the card is to interrupt for frames received, and sent. */
  private receiving: bool = false;
  private awaitSent: bool = false;
  /** Whether the guest was called for frames received just now. */
  private called: bool = false;
  /** Whether a call for frames sent waits for the card's reminder, and what the guest wished for when it was put off. */
  private deferred: bool = false;
  private deferredEvent: u32 = 0;
  private receiveFrame: u32 = 0;
  private transmitFrame: u32 = 0;
  /** What to ask when the card's interrupts do not come through. */
  fallback: InterruptFallback | null = null;

  constructor(readonly card: NetworkCard) {
    super(new TicketLock());
    this.interrupts = new VirtioInterrupts(card);
    this.receiveQueue = new ReceiveQueue(card);
    this.transmitQueue = new TransmitQueue(card);
  }

  deviceFeatures(): u32 {
    const offloads = this.card.offloads();
    return (
      Feature.MAC |
      Feature.STATUS |
      Feature.GUEST_CSUM |
      Feature.ANY_LAYOUT |
      Feature.INDIRECT_DESC |
      Feature.EVENT_IDX |
      (offloads & Offload.Checksum ? Feature.CSUM : 0) |
      (offloads & Offload.Tcp4 ? Feature.HOST_TSO4 : 0) |
      (offloads & Offload.Tcp6 ? Feature.HOST_TSO6 : 0)
    );
  }
  guestFeatures(): u32 {
    return this.features;
  }
  setGuestFeatures(features: u32): void {
    this.features = features & this.deviceFeatures();
    this.receiveQueue.tellChecksums = (this.features & Feature.GUEST_CSUM) != 0;
    this.transmitQueue.features = this.features;
  }

  getStatus(): u32 {
    return this.status;
  }
  /** 0 resets the device (2.2.2.1). */
  setStatus(status: u32): void {
    this.status = status;
    if (status == 0) {
      if (this.card.isLost()) this.revive();
      this.reset();
    }
    this.update();
  }
  /** Without bus mastering the device touches no memory, as any other. */
  setBusMaster(on: bool): void {
    this.busMaster = on;
    this.update();
  }

  queuePfn(queue: u32): u32 {
    if (queue == RECEIVE) return this.receiveFrame;
    return queue == TRANSMIT ? this.transmitFrame : 0;
  }
  /** Places a queue at a page of the guest's memory, or takes it away with 0; what was in it is forgotten (2.3). */
  setQueuePfn(queue: u32, pfn: u32): void {
    if (queue == RECEIVE) {
      this.receiveFrame = pfn;
      this.place(this.receiveQueue.queue, pfn);
    } else if (queue == TRANSMIT) {
      this.card.forgetSends();
      this.transmitFrame = pfn;
      this.place(this.transmitQueue.queue, pfn);
    }
    this.update();
  }

  notify(queue: u32): void {
    netCounters.notifies++;
    if (queue != RECEIVE && queue != TRANSMIT) return;
    this.service();
    this.listen();
  }

  /** The card's interrupt. */
  interrupt(): void {
    netCounters.cardInterrupts++;
    this.poll();
  }
  heldBack(): void {
    const fallback = this.fallback;
    if (fallback) fallback.useGuestMessages();
  }
  /** Takes the card's causes back before the work, so that what comes during the work interrupts anew. */
  poll(): void {
    const causes = this.card.acknowledge();
    if (causes & Cause.Link) this.updateLink();
    this.service();
    this.signalSent(causes);
    this.listen();
  }

  /** ISR status as the guest reads it; what the card has comes first, so that 0 means that nothing happened. */
  readIsr(): u32 {
    this.interrupts.reading = true;
    if (!this.interrupts.msix.enabled) this.poll();
    this.interrupts.reading = false;
    return this.interrupts.takeIsr();
  }

  /** The byte at an offset into the device's own fields: MAC address and status (appendix C). */
  configByte(offset: u32): u32 {
    if (offset < 6) return ((this.card.mac >> ((offset << 3) as u64)) as u32) & 0xff;
    return offset == 6 && this.card.linkUp() ? 1 : 0;
  }

  /** Nothing moves any more. Uses the card's registers only. */
  stop(): void {
    this.receiveQueue.running = this.transmitQueue.running = false;
    this.card.stop();
  }

  /** Moves frames both ways, and calls the guest for those received. */
  private service(): void {
    this.receiving = this.receiveQueue.service();
    if (this.transmitQueue.service()) this.awaitSent = true;
    if (this.transmitQueue.isStuck() && this.card.isLost()) this.revive();
    this.publish(this.receiveQueue.queue);
    this.publish(this.transmitQueue.queue);
    this.called = this.receiveQueue.queue.wantsInterrupt();
    if (this.called) this.signal(this.receiveQueue.queue, RECEIVE);
  }

  /**
   * Calls the guest for frames sent, at an interrupt of the card. While it is being called for frames received, drivers
   * look after both: then only if it still wants to be called some milliseconds later.
   */
  private signalSent(causes: u32): void {
    const queue = this.transmitQueue.queue;
    const wanted = queue.wantsInterrupt();
    const event = queue.usedEvent();
    const waited = this.deferred && event == this.deferredEvent;
    this.deferred = wanted && this.called && !waited && this.interrupts.msix.enabled;
    this.deferredEvent = event;
    if (this.called) this.transmitQueue.called();
    if (this.deferred) return this.card.remind();
    if (wanted) this.signal(queue, TRANSMIT);
    if (wanted || causes & Cause.Sent) this.awaitSent = this.card.sending();
  }

  /** Has the card interrupt for what the device waits for. Many frames sent are one interrupt: the card keeps them apart. */
  private listen(): void {
    if (this.transmitQueue.queue.wantsInterrupt()) this.awaitSent = true;
    const receiving = this.receiving ? Cause.Received : 0;
    this.card.listen(Cause.Link | receiving | (this.awaitSent ? Cause.Sent : 0));
  }

  /** Sets the card up anew, which was reset; what it had to send is lost. */
  private revive(): void {
    this.transmitQueue.abandon();
    const alive = this.card.restart();
    const fallback = this.fallback;
    if (fallback) fallback.restore();
    log
      .warn("the network card had lost its settings")
      .text(alive ? ": it is set up anew" : " and does not answer")
      .end();
  }

  private publish(queue: Virtqueue): void {
    if (queue.publish()) this.interrupts.noteQueue();
  }
  private signal(queue: Virtqueue, index: u32): void {
    queue.signal();
    this.interrupts.raiseQueue(index);
  }

  private reset(): void {
    this.interrupts.reset();
    this.card.forgetSends();
    this.setGuestFeatures(0);
    this.receiveFrame = this.transmitFrame = 0;
    this.receiveQueue.queue.remove();
    this.transmitQueue.queue.remove();
  }

  private place(queue: Virtqueue, pfn: u32): void {
    const eventIndex = (this.features & Feature.EVENT_IDX) != 0;
    const indirect = (this.features & Feature.INDIRECT_DESC) != 0;
    if (pfn) queue.place((pfn as u64) << 12, eventIndex, indirect);
    else queue.remove();
  }

  /** Starts or stops the queues after a change of what they depend on. */
  private update(): void {
    const running = this.busMaster && (this.status & DeviceStatus.DRIVER_OK) != 0;
    if (running && !this.receiveQueue.running) this.begin();
    this.receiveQueue.running = this.transmitQueue.running = running;
    this.awaitSent = this.deferred = false;
    if (running) {
      this.service();
      this.listen();
    } else {
      this.card.listen(0);
    }
  }

  private begin(): void {
    this.card.forgetReceived();
    this.card.acknowledge(); // what happened before is not the guest's
    this.link = this.card.linkUp();
  }

  private updateLink(): void {
    const link = this.card.linkUp();
    if (link == this.link) return;
    this.link = link;
    this.interrupts.raiseConfig();
  }
}
