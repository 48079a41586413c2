/** Ways in which a card can be out of order; a test turns them on at any time. */
export interface Faults {
  /** Every register reads as ones, as when a card has fallen off its bus; writes are lost, and nothing moves. */
  allOnes: boolean;
  /** Error bits written to the descriptors of frames received. */
  receiveErrors: number;
  /** The length and the flags that receive descriptors are written back with. */
  receiveLength: number | undefined;
  receiveFlags: number | undefined;
  /** The number of the buffer that receive descriptors come back with. */
  receiveIndex: number | undefined;
  /** The indices in the status block. */
  returnProducer: number | undefined;
  sendConsumer: number | undefined;
  /** The status block is never written. */
  silent: boolean;
  /** Interrupts come again and again for nothing. */
  storm: boolean;
  /** How long the boot code takes after a reset, in nanoseconds. */
  bootTime: number;
  /** Nobody grants the NVRAM. */
  arbiterHeld: boolean;
  /** Enable bits stay set. */
  neverStops: boolean;
}

export function noFaults(): Faults {
  return {
    allOnes: false,
    receiveErrors: 0,
    receiveLength: undefined,
    receiveFlags: undefined,
    receiveIndex: undefined,
    returnProducer: undefined,
    sendConsumer: undefined,
    silent: false,
    storm: false,
    bootTime: 500_000,
    arbiterHeld: false,
    neverStops: false,
  };
}
