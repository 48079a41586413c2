// A machine with one card, Sheer on it, and a driver for what the guest sees.
import { type ConfigWay, type GuestPciFunction, scanBus } from "../../../machine/driver/pci.ts";
import { routeLine } from "../../../machine/driver/ioapic.ts";
import { ModernTransport } from "../../../machine/driver/transport.ts";
import { NetFeature, RECEIVE, VirtioNetDriver, type DriverOptions } from "../../../machine/driver/virtio-net.ts";
import type { CardModel } from "../../../machine/net/make.ts";
import { Machine, type MachineOptions } from "../../../machine/machine.ts";

export const INTEL_MODELS: readonly CardModel[] = ["82540EM", "82574L"];
export const MODELS: readonly CardModel[] = [...INTEL_MODELS, "BCM5722", "BCM5764M", "BCM57766"];
/** Whether the guest can have MSI-X in place of a card of this model. */
export function hasMessages(model: CardModel): boolean {
  return model !== "82540EM" && !model.startsWith("BCM");
}
export const VECTORS = { config: 0x51, receive: 0x52, transmit: 0x53 } as const;
export const LINE_VECTOR = 0x61;
/** All that is offered without a setting. */
export const ALL_FEATURES = Object.values(NetFeature).reduce((all, bit) => all | bit, 0) & ~NetFeature.MergedBuffers;
/** Longer than an interrupt of the card is put off: 50 us by moderation, 4 ms for frames sent. */
export const MODERATION = 5_000_000;
const LINK_TIME = 2_000_000;

/** Boots Sheer on a machine with a card of this model, and lets the link come up. */
export function start(model: CardModel, options: MachineOptions = {}, prepare?: (machine: Machine) => void): Machine {
  const machine = new Machine({ cards: [{ model }], forbidTraps: true, ...options });
  prepare?.(machine);
  machine.boot();
  if (!machine.guestRuns) throw new Error(`Sheer did not start: ${machine.screen}`);
  machine.clock.advance(LINK_TIME);
  return machine;
}

/** A driver that is up afresh, by MSI-X where the card allows it, else by INTx. */
export function drive(machine: Machine, model: CardModel, options: DriverOptions = {}): VirtioNetDriver {
  return driveAs(machine, hasMessages(model) ? { vectors: VECTORS, ...options } : options);
}

/** The same, by MSI-X if the options have vectors for it. */
export function driveAs(machine: Machine, options: DriverOptions): VirtioNetDriver {
  const driver = new VirtioNetDriver(machine.guest, options);
  machine.guest.enableInterrupts();
  if (!driver.options.vectors) routeLine(machine, machine.nic.pci, LINE_VECTOR, () => driver.onLine());
  driver.start();
  settle(machine);
  return driver;
}

/** The way of a driver that uses the newer interface. */
export function modernTransport({ transport }: VirtioNetDriver): ModernTransport {
  if (transport instanceof ModernTransport) return transport;
  throw new Error("the driver uses the legacy interface");
}

/** Lets all interrupts that are due arrive. */
export function settle(machine: Machine, rounds = 4): void {
  for (let i = 0; i < rounds; i++) {
    machine.clock.advance(MODERATION);
    machine.guest.enableInterrupts();
  }
}

/** Offers the receive queue chains of one piece each, of these lengths; returns where they are. */
export function offer(driver: VirtioNetDriver, lengths: readonly number[]): number[] {
  const places = lengths.map((length) => {
    const address = driver.allocate(length);
    driver.receiveQueue.add([{ address, length, writable: true }]);
    return address;
  });
  driver.kick(RECEIVE);
  return places;
}

/** The card's function as the guest finds it. */
export function cardFunction(machine: Machine, way: ConfigWay = "ports"): GuestPciFunction {
  const found = scanBus(machine.guest, way).find((pci) => pci.address === 2 << 3);
  if (!found) throw new Error("the guest finds no function in the card's place");
  return found;
}

/** A frame of `length` bytes that differs from others by `seed`. */
export function frame(length: number, seed = 0): Uint8Array {
  const bytes = Uint8Array.from({ length }, (_, i) => (i * 7 + seed * 31 + (i >> 8)) & 0xff);
  bytes.set([0x08, 0x00], 12);
  return bytes;
}

/** A generator of pseudo-random numbers (mulberry32): the same sequence for the same seed. */
export function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}
