import { Chip } from "./ids";
import { CardMemory, Register, Registers } from "./registers";
import { BUFFER_LENGTH, RING_ENTRIES } from "./receive";

// Where the rings are, the buffer memory, and what the MAC has to know: all before the blocks are started.

/** A ring control block: address, entries in 31:16 with flags, and a place in the card's memory. */
const enum ControlBlock {
  AddressHigh = 0x0,
  AddressLow = 0x4,
  Size = 0x8,
  CardAddress = 0xc,
}
const RING_SIZE: u32 = RING_ENTRIES << 16;
const RING_DISABLED: u32 = 1 << 1;
const CONTROL_BLOCK_SIZE: u32 = 16;
const RETURN_RINGS: u32 = 4;
/** Places of the rings' copies in the card's memory. */
const SEND_COPY: u32 = 0x4000;
const STANDARD_COPY: u32 = 0x6000;

/** Watermarks of the memory for frames, and descriptors left when the card fetches more, as the guides recommend. */
const RECEIVE_LOW_EARLY: u32 = 0x10;
const HIGH_EARLY: u32 = 0x60;
const RECEIVE_LOW_LATE: u32 = 0x2a;
const HIGH_LATE: u32 = 0xa0;
const STANDARD_THRESHOLD: u32 = 25;
const STANDARD_REPLENISH: u32 = 32;

/** A frame of 1500 bytes with Ethernet header, VLAN tag and FCS. */
const RECEIVE_MTU: u32 = 1522;
/** Gaps between frames: 96 bit times, slots of 512. */
const TRANSMIT_LENGTHS: u32 = 0x2620;
/** Everything to the first return ring. */
const DEFAULT_RING: u32 = 1 << 3;
const RECEIVE_LISTS: u32 = 0x181;
const ALL_COUNTERS: u32 = 0xff_ffff;
const SHORT_ACKNOWLEDGE: u32 = 1 << 18;
/** Timers count microseconds of a clock of 66 MHz. */
const PRESCALER: u32 = 65 << 1;
const PRESCALER_BITS: u32 = 0xfe;

/** DMA control: write commands and watermark of 128 bytes; from the BCM57765 on, bits of another meaning. */
const DMA_EARLY: u32 = 0x7618_0000;
const DMA_NO_CACHE_ALIGNMENT: u32 = 1 << 0;
const DMA_TAGGED_STATUS_FIX: u32 = 1 << 7;

export function prepareMemory(registers: Registers, chip: Chip): void {
  const late = chip >= Chip.Bcm57765;
  if (late) {
    const fix = chip == Chip.Bcm57766 ? DMA_TAGGED_STATUS_FIX : 0;
    const control = registers.read(Register.DmaReadWriteControl);
    registers.write(Register.DmaReadWriteControl, control | DMA_NO_CACHE_ALIGNMENT | fix);
  } else if (chip != Chip.Bcm5761 && chip != Chip.Bcm5784) {
    registers.write(Register.DmaReadWriteControl, DMA_EARLY);
  }
  const misc = registers.read(Register.MiscConfiguration) & ~PRESCALER_BITS;
  registers.write(Register.MiscConfiguration, misc | PRESCALER);
  registers.write(Register.MbufReadLow, 0);
  registers.write(Register.MbufReceiveLow, late ? RECEIVE_LOW_LATE : RECEIVE_LOW_EARLY);
  registers.write(Register.MbufHigh, late ? HIGH_LATE : HIGH_EARLY);
}

/** Tells the card of its rings, which are empty; there is one for each way. */
export function prepareRings(registers: Registers, chip: Chip, standard: u64, returned: u64, send: u64): void {
  const late = chip >= Chip.Bcm57765;
  registers.write(Register.StandardThreshold, STANDARD_THRESHOLD);
  registers.writePair(Register.StandardRing, standard);
  registers.write(Register.StandardRingSize, RING_SIZE | (late ? BUFFER_LENGTH << 2 : 0));
  registers.write(Register.StandardRingNic, STANDARD_COPY);
  if (late) registers.write(Register.StandardReplenish, STANDARD_REPLENISH);
  registers.write(Register.StandardProducer, 0);
  registers.write(Register.SendProducer, 0);
  registers.write(Register.ReturnConsumer, 0);
  writeControlBlock(registers, CardMemory.SendRing, send, SEND_COPY);
  registers.writeMemory(CardMemory.SendRing + CONTROL_BLOCK_SIZE + ControlBlock.Size, RING_DISABLED);
  writeControlBlock(registers, CardMemory.ReturnRing, returned, 0);
  for (let ring: u32 = 1; ring < RETURN_RINGS; ring++) {
    registers.writeMemory(CardMemory.ReturnRing + ring * CONTROL_BLOCK_SIZE + ControlBlock.Size, RING_DISABLED);
  }
}

function writeControlBlock(registers: Registers, place: u32, ring: u64, copy: u32): void {
  registers.writeMemory(place + ControlBlock.AddressHigh, (ring >> 32) as u32);
  registers.writeMemory(place + ControlBlock.AddressLow, ring as u32);
  registers.writeMemory(place + ControlBlock.Size, RING_SIZE);
  registers.writeMemory(place + ControlBlock.CardAddress, copy);
}

/** `high` and `low` are the MAC address as its registers hold it. */
export function prepareMac(registers: Registers, chip: Chip, high: u32, low: u32): void {
  registers.write(Register.MacAddressHigh, high);
  registers.write(Register.MacAddressLow, low);
  const seed = (high & 0xff) + (high >> 8) + (low & 0xff) + ((low >> 8) & 0xff) + ((low >> 16) & 0xff) + (low >> 24);
  registers.write(Register.BackoffSeed, seed & 0x3ff);
  registers.write(Register.ReceiveMtu, RECEIVE_MTU);
  registers.write(Register.TransmitLengths, TRANSMIT_LENGTHS);
  registers.write(Register.ReceiveRules, DEFAULT_RING);
  registers.write(Register.ReceiveLists, RECEIVE_LISTS);
  const counters = registers.read(Register.ReceiveStatisticsMask) & ~SHORT_ACKNOWLEDGE;
  registers.write(Register.ReceiveStatisticsMask, counters);
  registers.write(Register.ReceiveStatistics, 1);
  registers.write(Register.SendStatisticsMask, ALL_COUNTERS);
  registers.write(Register.SendStatistics, 3);
  registers.write(Register.LowWatermarkReceive, chip >= Chip.Bcm57765 ? 1 : 2);
  registers.write(Register.MiStatus, 1); // a change of the link is told of
}
