import { pause } from "../../../metal";
import { waitMicroseconds } from "../wait";
import { Chip, hasPowerManagement } from "./ids";
import { ATTENTION, CoalescingMode, ENABLE, GONE, MacMode, ReceiveMode, Register, Registers } from "./registers";

// The functional blocks of the card, from memory buffers to the MAC, in the order in which the guides have them started.

/** An error of a DMA engine that stops it is reported: bits 2 to 9. */
const DMA_ERRORS: u32 = 0x3fc;
const enum ReadDma {
  DescriptorChecks = 7 << 11,
  LongBursts = 3 << 16,
  CutIpv4 = 1 << 27,
  CutIpv6 = 1 << 28,
}
/** The tag of a status block goes with its contents. */
const WRITE_DMA_TAG_FIX: u32 = 1 << 29;
const READ_DMA_FIFO_FIX: u32 = 1 << 2;
const enum LocalControl {
  ClearInterrupt = 1 << 1,
  SetInterrupt = 1 << 2,
  InterruptOnAttention = 1 << 3,
  AutomaticSeeprom = 1 << 24,
}
const SEND_CUTS: u32 = 1 << 3;
const SEND_COMPLETION_DELAY: u32 = 1 << 4;
const ILLEGAL_RING_SIZE: u32 = 1 << 4;
const TRANSMIT_LOCKUP_FIX: u32 = 1 << 8;

/** Microseconds after a block until the next is touched. */
const MAC_TIME: u64 = 40;
const LOCAL_CONTROL_TIME: u64 = 100;
const DMA_TIME: u64 = 40;
const TRANSMIT_TIME: u64 = 100;
const RECEIVE_TIME: u64 = 10;

/** Polls for a block to stop: some 10 ms. */
const STOP_POLLS: u32 = 10_000;

export const COALESCING: u32 =
  ENABLE | CoalescingMode.StatusBlock32 | CoalescingMode.ClearTicksOnReceive | CoalescingMode.ClearTicksOnSend;

/** The DMA engines and what feeds them; coalescing is on, and the buffers for frames come afterwards. */
export function startBlocks(registers: Registers, chip: Chip): void {
  registers.write(Register.ReceiveBdCompletion, ENABLE | ATTENTION);
  registers.write(Register.ReceiveListPlacement, ENABLE);
  const dma = MacMode.TransmitDma | MacMode.ReceiveDma | MacMode.FrameHeaderDma;
  const statistics = MacMode.SendStatistics | MacMode.ReceiveStatistics;
  registers.writeThrough(Register.MacMode, MacMode.PortGmii | dma | statistics);
  waitMicroseconds(MAC_TIME);
  const local = registers.read(Register.LocalControl) & ~(LocalControl.ClearInterrupt | LocalControl.SetInterrupt);
  const wanted = LocalControl.InterruptOnAttention | LocalControl.AutomaticSeeprom;
  registers.writeThrough(Register.LocalControl, local | wanted);
  waitMicroseconds(LOCAL_CONTROL_TIME);
  registers.writeThrough(Register.WriteDma, ENABLE | DMA_ERRORS | WRITE_DMA_TAG_FIX);
  waitMicroseconds(DMA_TIME);
  registers.writeThrough(Register.ReadDma, ENABLE | DMA_ERRORS | ReadDma.LongBursts | readDmaOptions(chip));
  waitMicroseconds(DMA_TIME);
  registers.write(Register.ReceiveDataCompletion, ENABLE | ATTENTION);
  registers.write(Register.SendDataCompletion, ENABLE | (chip == Chip.Bcm5761 ? SEND_COMPLETION_DELAY : 0));
  registers.write(Register.SendBdCompletion, ENABLE | ATTENTION);
  registers.write(Register.ReceiveBdInitiator, ENABLE | ATTENTION);
  registers.write(Register.ReceiveDataBdInitiator, ENABLE | ILLEGAL_RING_SIZE);
  registers.write(Register.SendDataInitiator, ENABLE | SEND_CUTS);
  registers.write(Register.SendBdInitiator, ENABLE | ATTENTION);
  registers.write(Register.SendBdSelector, ENABLE | ATTENTION);
}

/** To be set before the read DMA engine starts. */
export function prepareReadDma(registers: Registers, chip: Chip): void {
  if (!hasPowerManagement(chip)) return;
  registers.write(Register.ReadDmaReserved, registers.read(Register.ReadDmaReserved) | READ_DMA_FIFO_FIX);
}

function readDmaOptions(chip: Chip): u32 {
  const checks = chip == Chip.Bcm5784 || chip == Chip.Bcm57780 ? ReadDma.DescriptorChecks : 0;
  return checks | ReadDma.CutIpv4 | (chip >= Chip.Bcm57780 ? ReadDma.CutIpv6 : 0);
}

/** Opens the MAC both ways: every frame is taken, as the guest's own filter is behind this one, with its VLAN tag. */
export function startMac(registers: Registers): void {
  registers.writeThrough(Register.TransmitMode, ENABLE | TRANSMIT_LOCKUP_FIX);
  waitMicroseconds(TRANSMIT_TIME);
  const mode = ReceiveMode.Promiscuous | ReceiveMode.KeepVlanTag | ReceiveMode.Ipv6Checksum;
  registers.writeThrough(Register.ReceiveMode, ENABLE | mode);
  waitMicroseconds(RECEIVE_TIME);
}

/** What moves data in and out stops before the engine that it uses. */
// prettier-ignore
const RECEIVING: StaticArray<u32> = [
  Register.ReceiveMode, Register.ReceiveBdInitiator, Register.ReceiveListPlacement, Register.ReceiveDataBdInitiator,
  Register.ReceiveDataCompletion, Register.ReceiveBdCompletion,
];
// prettier-ignore
const SENDING: StaticArray<u32> = [
  Register.SendBdSelector, Register.SendBdInitiator, Register.SendDataInitiator, Register.ReadDma,
  Register.SendDataCompletion, Register.SendBdCompletion,
];
const LAST: StaticArray<u32> = [Register.TransmitMode, Register.CoalescingMode, Register.WriteDma];

/** Stops everything that could touch memory; false if something does not stop. */
export function stopBlocks(registers: Registers): bool {
  const received = stopAll(registers, RECEIVING);
  const sent = stopAll(registers, SENDING);
  registers.writeThrough(Register.MacMode, registers.read(Register.MacMode) & ~MacMode.TransmitDma);
  const finished = stopAll(registers, LAST);
  registers.write(Register.FlowThroughReset, GONE);
  registers.write(Register.FlowThroughReset, 0);
  return received && sent && finished;
}

function stopAll(registers: Registers, blocks: StaticArray<u32>): bool {
  let stopped = true;
  for (let i = 0; i < blocks.length; i++) if (!stop(registers, unchecked(blocks[i]))) stopped = false;
  return stopped;
}

function stop(registers: Registers, register: u32): bool {
  registers.write(register, registers.read(register) & ~ENABLE);
  for (let polls: u32 = 0; polls < STOP_POLLS; polls++) {
    const mode = registers.read(register);
    if (!(mode & ENABLE)) return true;
    if (mode == GONE) break;
    pause();
  }
  return false;
}
