import { settings } from "../../../config/settings";
import { InterruptHandler } from "../../../interrupt/vectors";
import { log } from "../../../log/log";
import { MessageListener } from "../../../pci/msix";
import { TicketLock } from "../../../threads/lock";
import { Cause, NetworkCard } from "../card";
import { netCounters } from "../counters";
import { Moderation } from "../moderation";
import { ControlQueue } from "./control";
import { acceptable, offeredFeatures, VERSION_1 } from "./features";
import { NetFields } from "./fields";
import { VirtioInterrupts } from "./interrupts";
import { CONTROL, DeviceStatus, Feature, NetHeader, QUEUES, RECEIVE, TRANSMIT } from "./layout";
import { Virtqueue } from "./queue";
import { ReceiveQueue } from "./receive";
import { TransmitQueue } from "./transmit";

/** The driver is there, and has not given up. */
const READY: u32 = DeviceStatus.DRIVER_OK | DeviceStatus.FAILED;
/** From then on the driver may not change what was agreed on. */
const AGREED: u32 = DeviceStatus.FEATURES_OK | DeviceStatus.DRIVER_OK;

/** Another way for the card to interrupt. */
export abstract class InterruptFallback extends MessageListener {
  /** Whether the card's interrupts call Sheer alone. */
  abstract arePrivate(): bool;
  abstract useGuestMessages(): void;
  /** Tells the card once more how to interrupt: it was reset. */
  abstract restore(): void;
}

/**
 * The virtio-net device itself, without its face on the PCI bus: features, status, three queues, link state. It works
 * only when it is called: by the card's interrupt, by the guest's notification, by the guest's read of the ISR status.
 */
export class VirtioNet extends InterruptHandler {
  readonly interrupts: VirtioInterrupts;
  readonly fields: NetFields;
  private readonly moderation: Moderation;
  /** Bytes moved since the card interrupted last, and those of them that the guest sent. */
  private moved: u64 = 0;
  private sent: u64 = 0;
  private readonly receiveQueue: ReceiveQueue;
  private readonly transmitQueue: TransmitQueue;
  private readonly controlQueue: ControlQueue;
  private status: u32 = 0;
  private busMaster: bool = false;
  private features: u64 = 0;
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
  /** Whether the card has not answered when it was to be set up anew: nobody asks again before the guest's driver does. */
  private silent: bool = false;
  /** What to ask when the card's interrupts do not come through. */
  fallback: InterruptFallback | null = null;

  constructor(readonly card: NetworkCard) {
    super(new TicketLock());
    const receiveQueue = new ReceiveQueue(card);
    receiveQueue.filter.reset(card.mac);
    this.receiveQueue = receiveQueue;
    this.transmitQueue = new TransmitQueue(card);
    this.controlQueue = new ControlQueue(receiveQueue.filter);
    this.fields = new NetFields(card, receiveQueue.filter);
    this.interrupts = new VirtioInterrupts(card);
    this.moderation = new Moderation(card);
  }

  deviceFeatures(): u64 {
    return offeredFeatures(this.card.offloads(), settings.mergeBuffers);
  }
  guestFeatures(): u64 {
    return this.features;
  }
  /** What is not offered is not accepted; after the driver has said that it is done, nothing changes. */
  setGuestFeatures(features: u64): void {
    if (!(this.status & AGREED)) this.agree(features & this.deviceFeatures());
  }

  getStatus(): u32 {
    return this.status;
  }
  /** 0 resets the device (2.2.2.1). */
  setStatus(status: u32): void {
    this.status = status;
    if (status == 0) {
      this.silent = false;
      if (this.card.isLost()) this.revive();
      this.reset();
    }
    this.update();
  }
  /** As a driver of the newer interface writes it: features that do not go together stay without FEATURES_OK (1.2: 2.2.2). */
  setModernStatus(status: u32): void {
    const refused = (status & DeviceStatus.FEATURES_OK) != 0 && !acceptable(this.features);
    const kept = status ? this.status & DeviceStatus.NEEDS_RESET : 0;
    this.setStatus((refused ? status & ~DeviceStatus.FEATURES_OK : status) | kept);
  }
  /** Without bus mastering the device touches no memory, as any other. */
  setBusMaster(on: bool): void {
    this.busMaster = on;
    this.update();
  }

  queue(index: u32): Virtqueue | null {
    if (index == RECEIVE) return this.receiveQueue.queue;
    if (index == TRANSMIT) return this.transmitQueue.queue;
    return index == CONTROL ? this.controlQueue.queue : null;
  }
  queuePfn(index: u32): u32 {
    const queue = this.queue(index);
    return queue === null || !queue.enabled ? 0 : ((queue.descriptors >> 12) as u32);
  }
  /** Places a queue at a page of the guest's memory, or takes it away with 0; what was in it is forgotten (2.3). */
  setQueuePfn(index: u32, pfn: u32): void {
    const queue = this.queue(index);
    if (queue === null) return;
    this.forgetQueue(index);
    if (pfn) queue.placeAt((pfn as u64) << 12, this.accepted(Feature.EVENT_IDX), this.accepted(Feature.INDIRECT_DESC));
    else queue.reset();
    this.update();
  }
  /** Enables a queue where the driver has placed it. */
  enableQueue(index: u32): void {
    const queue = this.queue(index);
    if (queue === null) return;
    this.forgetQueue(index);
    queue.enable(this.accepted(Feature.EVENT_IDX), this.accepted(Feature.INDIRECT_DESC));
    this.update();
  }
  /** Takes a queue away from the device alone (1.2: 2.6.1). */
  resetQueue(index: u32): void {
    const queue = this.queue(index);
    if (queue === null) return;
    this.forgetQueue(index);
    queue.reset();
    this.update();
  }

  notify(queue: u32): void {
    netCounters.notifies++;
    if (queue == CONTROL) return this.control();
    if (queue != RECEIVE && queue != TRANSMIT) return;
    // With MSI-X the card's interrupt comes for what was received, and serves many frames. A guest without may be polling.
    if (queue == TRANSMIT && this.interrupts.msix.enabled) this.send();
    else this.service();
    this.listen();
    this.postpone();
  }

  /** The card's interrupt. */
  interrupt(): void {
    netCounters.cardInterrupts++;
    this.poll();
    this.postpone();
    this.moderation.note(this.moved);
    this.moved = this.sent = 0;
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

  /** The guest's addresses may mean something else from now on. */
  addressesChange(): void {
    this.receiveQueue.recall();
  }

  /** From time to time: a card that was reset tells nobody, and a guest that waits for frames would wait for ever. */
  lookAfter(): void {
    if (!this.receiveQueue.running || this.silent || !this.card.isLost()) return;
    this.revive();
    this.service();
    this.listen();
  }

  /** Nothing moves any more. Uses the card's registers only. */
  stop(): void {
    this.receiveQueue.running = this.transmitQueue.running = false;
    this.card.stop();
  }

  /** Moves frames both ways, and calls the guest for those received. */
  private service(): void {
    const queue = this.receiveQueue.queue;
    this.send();
    this.receiving = this.receiveQueue.service();
    this.moved += this.receiveQueue.bytes;
    this.publish(queue);
    this.called = queue.wantsInterrupt();
    if (this.called) this.signal(queue, RECEIVE);
    if (queue.broken) this.needReset();
  }

  /** Moves frames from the guest to the card. */
  private send(): void {
    if (this.transmitQueue.service()) this.awaitSent = true;
    this.moved += this.transmitQueue.handed;
    this.sent += this.transmitQueue.handed;
    if (this.transmitQueue.isStuck() && this.card.isLost()) {
      this.revive();
      this.receiving = this.receiveQueue.service();
    }
    this.publish(this.transmitQueue.queue);
    if (this.transmitQueue.queue.broken) this.needReset();
  }

  /**
   * While the guest sends in bulk it need not notify for each frame: the card is made to interrupt, which it does when
   * moderation allows it, and what is there then is taken. If that is bulk, once more; else the guest notifies again.
   */
  private postpone(): void {
    const fallback = this.fallback;
    if (!this.moderation.isBulk(this.sent) || fallback === null || !fallback.arePrivate()) return;
    if (this.transmitQueue.postpone()) this.card.interrupt();
  }

  private control(): void {
    const queue = this.controlQueue.queue;
    this.controlQueue.service();
    this.publish(queue);
    if (queue.wantsInterrupt()) this.signal(queue, CONTROL);
    if (queue.broken) this.needReset();
  }

  /** Tells a driver of the newer interface, once, that it has broken the rules of a queue (1.2: 2.1.2). */
  private needReset(): void {
    if (this.status & DeviceStatus.NEEDS_RESET || !(this.features & VERSION_1)) return;
    this.status |= DeviceStatus.NEEDS_RESET;
    if (this.status & DeviceStatus.DRIVER_OK) this.interrupts.raiseConfig();
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
    this.receiveQueue.recall();
    this.transmitQueue.abandon();
    const alive = this.card.restart();
    this.silent = !alive;
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
    for (let index: u32 = 0; index < QUEUES; index++) {
      this.forgetQueue(index);
      const queue = this.queue(index);
      if (queue !== null) queue.reset();
    }
    this.receiveQueue.filter.reset(this.card.mac);
    this.agree(0);
  }

  /** Ends all use of the guest's memory that is a queue's. */
  private forgetQueue(index: u32): void {
    if (index == RECEIVE) this.receiveQueue.forget();
    else if (index == TRANSMIT) this.card.forgetSends();
  }

  private accepted(feature: u32): bool {
    return (this.features & (feature as u64)) != 0;
  }
  private agree(features: u64): void {
    this.receiveQueue.recall(); // headers may have another size
    this.features = features;
    this.transmitQueue.features = this.controlQueue.features = features as u32;
    this.receiveQueue.tellChecksums = this.accepted(Feature.GUEST_CSUM);
    this.receiveQueue.mergeable = this.accepted(Feature.MRG_RXBUF);
    const long = this.receiveQueue.mergeable || (features & VERSION_1) != 0;
    this.receiveQueue.headerSize = this.transmitQueue.headerSize = long ? NetHeader.Size : NetHeader.LegacySize;
  }

  /** Starts or stops the queues after a change of what they depend on. */
  private update(): void {
    const running = this.busMaster && (this.status & READY) == DeviceStatus.DRIVER_OK;
    if (running && !this.receiveQueue.running) this.begin();
    this.receiveQueue.running = this.transmitQueue.running = this.controlQueue.running = running;
    this.awaitSent = this.deferred = false;
    if (running) {
      this.service();
      this.listen();
    } else {
      this.receiveQueue.recall();
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
