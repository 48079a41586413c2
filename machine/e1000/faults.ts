/** Ways in which a card can be out of order; a test turns them on at any time. */
export interface Faults {
  /** Every register reads as ones, as when a card has fallen off its bus; writes are lost. */
  allOnes: boolean;
  /** The length written back in receive descriptors. */
  receiveLength: number | undefined;
  /** Status bits or-ed into and out of what is written back in receive descriptors. */
  receiveStatusSet: number;
  receiveStatusClear: number;
  /** Error bits or-ed into those of a frame's last descriptor. */
  receiveErrors: number;
  /** Descriptors are used without being written back. */
  dropReceiveWriteBack: boolean;
  dropTransmitWriteBack: boolean;
  /** CTRL.RST never goes back to 0. */
  resetHangs: boolean;
  /** The EEPROM never finishes a read. */
  eepromHangs: boolean;
  /** A reset does not load the MAC address from the EEPROM, as in Bochs. */
  addressNotLoaded: boolean;
  /** Reading ICR does not clear it. */
  icrSticks: boolean;
  /** The frame check sequence gets a descriptor of its own, as in QEMU 7.2. */
  splitFcs: boolean;
}

export function noFaults(): Faults {
  return {
    allOnes: false,
    receiveLength: undefined,
    receiveStatusSet: 0,
    receiveStatusClear: 0,
    receiveErrors: 0,
    dropReceiveWriteBack: false,
    dropTransmitWriteBack: false,
    resetHangs: false,
    eepromHangs: false,
    addressNotLoaded: false,
    icrSticks: false,
    splitFcs: false,
  };
}
