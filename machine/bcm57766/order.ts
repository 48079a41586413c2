// In which order and when the card takes what a driver does to it: the initialization procedure of the 57785 guide, which
// that of the 5722 guide agrees with, as a table. Whoever breaks it fails the test.
import type { Clock } from "../clock.ts";
import { ENABLE, KNOWN, MacMode, Mode, Reg, RING_ENTRIES } from "./registers.ts";

const MICROSECOND = 1000;
/** Blocks in the order in which they are enabled, the bits that enable each, and microseconds to wait afterwards. */
const BLOCKS: readonly { readonly name: keyof typeof Reg; readonly bits?: number; readonly wait?: number }[] = [
  { name: "BufferManager" },
  { name: "CoalescingMode" },
  { name: "ReceiveBdCompletion" },
  { name: "ReceiveListPlacement" },
  { name: "MacMode", bits: MacMode.TransmitDma | MacMode.ReceiveDma | MacMode.FrameHeaderDma, wait: 40 },
  { name: "LocalControl", bits: 1 << 3, wait: 100 },
  { name: "WriteDma", wait: 40 },
  { name: "ReadDma", wait: 40 },
  { name: "ReceiveDataCompletion" },
  { name: "SendDataCompletion" },
  { name: "SendBdCompletion" },
  { name: "ReceiveBdInitiator" },
  { name: "ReceiveDataBdInitiator" },
  { name: "SendDataInitiator" },
  { name: "SendBdInitiator" },
  { name: "SendBdSelector" },
  { name: "TransmitMode", wait: 100 },
  { name: "ReceiveMode", wait: 10 },
];
/** Registers that must have been written since the reset before a block is enabled. */
const PREREQUISITES: Readonly<Record<string, readonly (keyof typeof Reg)[]>> = {
  BufferManager: ["ModeControl", "MbufReadLow", "MbufReceiveLow", "MbufHigh"],
  CoalescingMode: [
    ...(["StandardThreshold", "StandardRing", "StandardRingLow", "StandardRingSize", "StandardProducer"] as const),
    ...(["SendProducer", "ReturnConsumer", "MacAddress", "BackoffSeed", "ReceiveMtu", "TransmitLengths"] as const),
    ...(["ReceiveRules", "ReceiveLists", "ReceiveStatistics", "SendStatistics", "MiscConfiguration"] as const),
    ...(["ReceiveTicks", "SendTicks", "ReceiveCount", "SendCount", "ReceiveCountInIsr", "SendCountInIsr"] as const),
    ...(["StatusBlock", "StatusBlockLow"] as const),
  ],
};
/** What a driver may write while the boot code still works. */
const WHILE_BOOTING: ReadonlySet<number> = new Set([
  ...[Reg.MiscHostControl, Reg.MemoryArbiter, Reg.ModeControl, Reg.MacMode, Reg.MemoryWindowBase],
]);
/** Blocks that move data from the host and to it: the engine under them stops last. */
const SENDERS = ["SendBdSelector", "SendBdInitiator", "SendDataInitiator"] as const;
const RECEIVERS = [
  "ReceiveBdInitiator",
  "ReceiveListPlacement",
  "ReceiveDataBdInitiator",
  "ReceiveBdCompletion",
] as const;
/** Data as they are, descriptors and the status block as words of the host. */
const SWAPS = Mode.ByteSwapData | Mode.WordSwapData | Mode.WordSwapNonFrame | Mode.ByteSwapNonFrame;
const LITTLE_ENDIAN = Mode.ByteSwapData | Mode.WordSwapData | Mode.WordSwapNonFrame;

export class Order {
  /** What was done wrong, the first of which was thrown. */
  readonly violations: string[] = [];
  booting = false;
  readonly #clock: Clock;
  readonly #read: (register: number) => number;
  readonly #written = new Set<number>();
  #quietUntil = 0;
  #resetUntil = 0;

  constructor(clock: Clock, read: (register: number) => number) {
    this.#clock = clock;
    this.#read = read;
  }

  /** Notes a breach and has the test fail. */
  violate(what: string): never {
    this.violations.push(what);
    throw new Error(`the card would not take this: ${what}`);
  }

  /** A reset begins that takes this long. */
  reset(nanoseconds: number): void {
    this.#written.clear();
    this.#quietUntil = 0;
    this.#resetUntil = this.#clock.now + nanoseconds;
  }

  /** Any access at all, also to configuration space. */
  access(): void {
    if (this.#clock.now < this.#resetUntil) this.violate("an access while it resets");
  }

  enabled(name: keyof typeof Reg): boolean {
    const { bits = ENABLE } = BLOCKS.find((block) => block.name === name) ?? {};
    return (this.#read(Reg[name]) & bits) === bits;
  }

  /** Whether both ways are open. */
  get running(): boolean {
    return BLOCKS.every(({ name }) => this.enabled(name));
  }

  /** A write, before it takes effect. */
  write(register: number, value: number): void {
    this.access();
    const hex = register.toString(16);
    if (!KNOWN.has(register)) this.violate(`a write to register ${hex}, which is reserved or not for drivers`);
    if (this.booting && !WHILE_BOOTING.has(register)) this.violate(`a write to ${hex} while the boot code works`);
    if (this.#clock.now < this.#quietUntil) this.violate(`a write to ${hex} too early after a block was enabled`);
    this.#written.add(register);
    const index = BLOCKS.findIndex(({ name }) => Reg[name] === register);
    const block = BLOCKS[index];
    if (!block) return this.#plain(register, value);
    const bits = block.bits ?? ENABLE;
    const [before, after] = [(this.#read(register) & bits) === bits, (value & bits) === bits];
    if (after && !before) this.#enable(index);
    if (before && !after) this.#disable(block.name);
  }

  #enable(index: number): void {
    const { name, wait = 0 } = BLOCKS[index]!;
    if (!this.enabled("MemoryArbiter")) this.violate(`${name} before the memory arbiter`);
    for (const needed of PREREQUISITES[name] ?? []) {
      if (!this.#written.has(Reg[needed])) this.violate(`${name} before ${needed} is set`);
    }
    if ((this.#read(Reg.ModeControl) & SWAPS) !== LITTLE_ENDIAN) this.violate(`${name} with bytes in another order`);
    for (const earlier of BLOCKS.slice(0, index)) {
      if (!this.enabled(earlier.name)) this.violate(`${name} before ${earlier.name}`);
    }
    this.#quietUntil = this.#clock.now + wait * MICROSECOND;
  }

  #disable(name: keyof typeof Reg): void {
    const still = (blocks: readonly (keyof typeof Reg)[]): string[] => blocks.filter((block) => this.enabled(block));
    const users =
      name === "ReadDma" ? still(SENDERS) : name === "WriteDma" ? still([...RECEIVERS, "CoalescingMode"]) : [];
    if (users.length) this.violate(`${name} stops while ${users.join(", ")} work`);
  }

  /** Registers that hold still while what they describe works. */
  #plain(register: number, value: number): void {
    const ring = register >= Reg.StandardRing && register <= Reg.StandardRingNic;
    if (ring && this.enabled("ReceiveDataBdInitiator")) this.violate("the receive ring moves while it is used");
    const block = register === Reg.StatusBlock || register === Reg.StatusBlockLow;
    if (block && this.enabled("CoalescingMode")) this.violate("the status block moves while it is used");
    const mailbox =
      register === Reg.StandardProducer || register === Reg.SendProducer || register === Reg.ReturnConsumer;
    if (mailbox && value >= RING_ENTRIES) this.violate(`index ${value} in a ring of ${RING_ENTRIES}`);
    if (register === Reg.StandardProducer && value && !this.enabled("SendBdSelector")) {
      this.violate("receive buffers before the blocks that fetch them");
    }
    if (register === Reg.SendProducer && value && !this.running) this.violate("frames to send before the card runs");
  }
}
