/** What the network card in front has done, for the report as `net.<name>`. */
@unmanaged
export class NetCounters {
  receivedFrames: u64;
  receivedBytes: u64;
  sentFrames: u64;
  sentBytes: u64;
  /** Received frames that the guest's buffer was too small for. */
  receiveDrops: u64;
  /** Frames of the guest that no card could send. */
  sendDrops: u64;
  /** Frames that the card received with an error. */
  receiveErrors: u64;
  /** Interrupts of the card behind. */
  cardInterrupts: u64;
  /** Interrupts sent to the guest. */
  guestInterrupts: u64;
  notifies: u64;
  /** Queues stopped for what the guest put into them. */
  badChains: u64;
}

/** Names of the fields, in their order. */
export const netCounterNames: StaticArray<string> = [
  "net.receivedFrames",
  "net.receivedBytes",
  "net.sentFrames",
  "net.sentBytes",
  "net.receiveDrops",
  "net.sendDrops",
  "net.receiveErrors",
  "net.cardInterrupts",
  "net.guestInterrupts",
  "net.notifies",
  "net.badChains",
];

export const netCounters = changetype<NetCounters>(memory.data(88, 8));
