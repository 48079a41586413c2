// A driver and a card that keep no rule: one action of a random kind at a time, through both interfaces of the device.
import { APIC_BASE } from "../apic.ts";
import type { Width } from "../bits.ts";
import type { E1000 } from "../e1000/card.ts";
import { noFaults } from "../e1000/faults.ts";
import type { Machine } from "../machine.ts";
import { Command, Config } from "../pci/function.ts";
import { HOSTILE } from "./hostile.ts";
import { CapType, Common, CONTROL, NO_VECTOR, RECEIVE, TRANSMIT, Virtio } from "./layout.ts";
import { ModernTransport, structures } from "./transport.ts";
import type { VirtioNetDriver } from "./virtio-net.ts";
import type { Virtqueue } from "./virtqueue.ts";

/** Numbers below `below`, as chance will have it. */
export type Chance = (below: number) => number;
type Action = (chaos: Chaos) => void;

const WIDTHS = [1, 2, 4] as const;
const COMMANDS = Command.Io | Command.Memory | Command.BusMaster;
const HIDDEN_DISTANCE = 1 << 24;
const EOI = APIC_BASE + 0xb0;
const ELSEWHERE = 0xd000_0000;

/** Everything that actions are carried out on. */
export class Chaos {
  readonly machine: Machine;
  readonly driver: VirtioNetDriver;
  readonly next: Chance;
  readonly modern: ModernTransport;
  readonly #access: number;
  readonly #memoryBar: number;

  constructor(machine: Machine, driver: VirtioNetDriver, next: Chance) {
    this.machine = machine;
    this.driver = driver;
    this.next = next;
    this.modern = new ModernTransport(driver.guest, driver.pci, true);
    this.#access = structures(driver.pci).find(({ type }) => type === CapType.Access)!.at;
    this.#memoryBar = driver.pci.bar(1);
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.next(choices.length)]!;
  }
  queue(): Virtqueue {
    return this.pick([this.driver.receiveQueue, this.driver.transmitQueue, this.driver.controlQueue!]);
  }

  /** An address that may be the guest's, Sheer's, a device's, at a border of these, or nobody's. */
  address(): number {
    const { block } = this.machine;
    const end = block.base + HIDDEN_DISTANCE;
    return this.pick([
      block.base + this.next(HIDDEN_DISTANCE),
      block.base - this.next(3000),
      end - this.next(3000),
      0x40_0000 + this.next(0x40_0000),
      0x40_0000 + this.next(0x40_0000),
      0x40_0000 + this.next(0x40_0000),
      this.driver.pci.bar(1) + this.next(0x2_0000),
      0xfee0_0000 + this.next(0x1000),
      2 ** 47 + this.next(1000),
      this.next(0x1000),
    ]);
  }
  length(): number {
    return this.next(6) ? this.next(4000) : this.pick([0, 0xffff_ffff, this.next(0x7fff_ffff), 1 << 24]);
  }

  /** One action of the driver's. */
  drive(): void {
    this.pick(DRIVER)(this);
  }
  /** One action of the card's, or of the wire's. */
  disturb(): void {
    this.pick(CARD)(this);
  }

  /** The device in a sound state, as far as a driver that keeps the rules can bring it there. */
  restore(): void {
    const { pci } = this.driver;
    pci.write(Config.Bar0 + 4, 4, this.#memoryBar);
    pci.write(Config.Command, 2, COMMANDS);
    this.driver.start();
    this.#blind();
  }

  /** Interrupts are retired and nothing is looked at: what is used was not offered in an orderly way. */
  #blind(): void {
    const { guest, options, headers, frames } = this.driver;
    for (const vector of Object.values(options.vectors ?? {}) as number[]) {
      guest.processor.handlers.set(vector, () => guest.write32(EOI, 0));
    }
    guest.enableInterrupts();
    headers.length = frames.length = 0;
  }

  /** A dword through the capability for that. */
  access(bar: number, offset: number, length: number, value: number | undefined): void {
    const { pci } = this.driver;
    pci.write(this.#access + 4, 1, bar);
    pci.write(this.#access + 8, 4, offset >>> 0);
    pci.write(this.#access + 12, 4, length >>> 0);
    if (value === undefined) pci.read(this.#access + 16, this.pick(WIDTHS));
    else pci.write(this.#access + 16, this.pick(WIDTHS), value >>> 0);
  }
}

function wild(next: Chance, width: Width): number {
  return next(2 ** Math.min(8 * width, 31));
}

const REGISTERS = Object.values(Virtio);
const FIELDS = Object.values(Common);

const DRIVER: readonly Action[] = [
  // Descriptors, indices and heads, in place of what was there.
  (chaos) => {
    const { next } = chaos;
    const flags = next(8);
    chaos.queue().setDescriptor(next(256), {
      address: chaos.address(),
      length: chaos.length(),
      flags,
      next: next(300),
    });
  },
  (chaos) => chaos.queue().setAvailable(chaos.next(256), chaos.next(4) ? chaos.next(256) : chaos.next(0x1_0000)),
  (chaos) => {
    const queue = chaos.queue();
    queue.setAvailableIndex(chaos.next(4) ? queue.deviceIndex + chaos.next(5) : chaos.next(0x1_0000));
  },
  (chaos) => chaos.queue().setUsedEvent(chaos.next(0x1_0000)),
  // Notifications, three ways.
  (chaos) => chaos.driver.setRegister(Virtio.QueueNotify, 2, chaos.next(4)),
  (chaos) => chaos.modern.write(CapType.Notify, 0, 2, chaos.pick([RECEIVE, TRANSMIT, CONTROL, 3, NO_VECTOR])),
  (chaos) => chaos.access(1, 0x4000, 2, chaos.next(4)),
  // Registers of both interfaces, at their width and at others.
  (chaos) => {
    const width = chaos.pick(WIDTHS);
    chaos.driver.setRegister(chaos.pick(REGISTERS), width, wild(chaos.next, width));
  },
  (chaos) => void chaos.driver.register(chaos.next(32), chaos.pick([1, 1, 2])),
  (chaos) => {
    const width = chaos.pick(WIDTHS);
    const value = chaos.next(2) ? chaos.next(4) : wild(chaos.next, width);
    chaos.modern.write(CapType.Common, chaos.pick(FIELDS) & -width, width, value);
  },
  (chaos) => void chaos.modern.read(CapType.Common, chaos.next(16) * 4, chaos.pick(WIDTHS)),
  (chaos) => void chaos.modern.isr(),
  // Queues moved while they run, by each interface; and reset.
  (chaos) => {
    chaos.driver.setRegister(Virtio.QueueSelect, 2, chaos.next(3));
    chaos.driver.setRegister(Virtio.QueueAddress, 4, Math.floor(chaos.address() / 4096) % 2 ** 32);
  },
  (chaos) => {
    const { modern, next } = chaos;
    modern.write(CapType.Common, Common.QueueSelect, 2, next(3));
    if (next(2)) modern.write(CapType.Common, Common.QueueReset, 2, 1);
    modern.write(CapType.Common, Common.QueueSize, 2, chaos.pick([1, 2, 16, 256, 0, 77, 0xffff]));
    for (const place of [Common.QueueDescriptors, Common.QueueDriver, Common.QueueDevice]) {
      const address = chaos.address();
      modern.write(CapType.Common, place, 4, address % 2 ** 32);
      modern.write(CapType.Common, place + 4, 4, Math.floor(address / 2 ** 32));
    }
    modern.write(CapType.Common, Common.QueueEnable, 2, 1);
  },
  // Vectors, masks, and MSI-X on and off.
  (chaos) => {
    const vector = chaos.pick([NO_VECTOR, 0, 1, 2, 3, 4, 0x8000]);
    chaos.driver.transport.setQueueVector(chaos.next(4), vector);
    chaos.modern.setConfigVector(vector);
  },
  (chaos) => {
    const dword = chaos.next(24);
    // A message to nowhere in particular: its vector is one that the guest takes, or none.
    const value = (dword & 3) === 2 ? chaos.pick([0x51, 0x52, 0x53, 0, 5]) : chaos.pick([0xfee0_0000, 0, 1, 0xfffc]);
    chaos.driver.guest.write32(chaos.driver.tableEntry(0) + 4 * dword, value);
  },
  (chaos) => {
    const at = chaos.driver.pci.capability(0x11)!;
    chaos.driver.pci.write(at + 2, 2, chaos.pick([0x8000, 0x8000, 0xc000, 0x4000]));
  },
  // Configuration space, and registers by way of it.
  (chaos) => {
    // Without its registers nobody could end an interrupt at the line.
    chaos.driver.pci.write(Config.Command, 2, chaos.next(8) | Command.InterruptDisable);
    chaos.driver.pci.write(Config.Command, 2, COMMANDS);
  },
  (chaos) => {
    const { next } = chaos;
    const offset = chaos.pick([next(0x5000), 0x1000 + next(0x40), 0x2000 + next(16), 0x3000, next(2 ** 31)]);
    const length = chaos.pick([1, 2, 4, 4, 3, 0]);
    chaos.access(chaos.pick([0, 1, 1, 1, 5]), offset, length, next(2) ? wild(next, 4) : undefined);
  },
  (chaos) => {
    const { pci } = chaos.driver;
    const before = pci.bar(1);
    pci.write(Config.Bar0 + 4, 4, chaos.pick([ELSEWHERE, chaos.address(), 0xffff_ffff, 0]) >>> 0);
    if (chaos.next(2)) chaos.driver.setRegister(Virtio.QueueNotify, 2, chaos.next(2));
    pci.write(Config.Bar0 + 4, 4, before);
  },
  // Resets in the middle, and orderly work between them.
  (chaos) => chaos.driver.transport.setStatus(chaos.pick([0, 3, 0x80, 11, 15, 7, 0xff])),
  (chaos) => {
    chaos.restore();
    chaos.driver.offerBuffers(chaos.next(60), chaos.pick([2048, 2048, 1000, 20]));
  },
  (chaos) => {
    chaos.restore();
    chaos.pick(Object.values(HOSTILE))(chaos.driver, chaos.address());
  },
];

function frame(next: Chance): Uint8Array {
  const length = 60 + next(1455);
  const seed = next(256);
  return Uint8Array.from({ length }, (_, i) => (i * 7 + seed) & 0xff);
}

/** The card itself is sound again after a while: what else it does could not be seen. */
function disturb(card: E1000, next: Chance): void {
  Object.assign(card.faults, noFaults());
  switch (next(8)) {
    case 0:
      card.faults.receiveLength = next(0x1_0000);
      break;
    case 1:
      card.faults.receiveStatusSet = next(256);
      break;
    case 2:
      card.faults.receiveStatusClear = next(256);
      break;
    case 3:
      card.faults.dropReceiveWriteBack = true;
      break;
    case 4:
      card.faults.dropTransmitWriteBack = true;
      break;
    case 5:
      card.faults.allOnes = true;
      break;
    case 6:
      card.faults.icrSticks = true;
  }
}

const CARD: readonly Action[] = [
  ({ machine, next }) => void machine.nic.wire.inject(frame(next)),
  ({ machine, next }) => void machine.nic.wire.inject(frame(next)),
  ({ machine, next }) => machine.clock.advance(next(3_000_000)),
  ({ machine, next }) => machine.card.setCable(next(4) !== 0),
  ({ machine }) => machine.card.interrupts.spurious(),
  ({ machine, next }) => disturb(machine.card, next),
];
