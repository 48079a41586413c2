// MSI-X of the device (PCI Local Bus 3.0, 6.8.2): random sequences of what a guest may do to the table, the masks and
// the vectors, beside a model of a few lines. No interrupt is lost, none comes twice, none comes masked.
import { describe, expect, it } from "vitest";
import { NO_VECTOR, RECEIVE, TRANSMIT, Virtio, type VirtioNetDriver } from "../../../machine/driver/virtio-net.ts";
import type { Machine } from "../../../machine/machine.ts";
import { CapabilityId } from "../../../machine/pci/capabilities.ts";
import { drive, frame, random, settle, start } from "./setup.ts";

const ENABLE = 0x8000;
const FUNCTION_MASK = 0x4000;
const ENTRIES = 3;
const PENDING = 0x800;
const STEPS = 600;
const FIRST_VECTOR = 0x70;
const VECTORS = 8;

/** What the guest has set, and what is pending by the specification. */
class Model {
  enabled = true;
  functionMask = false;
  readonly masked = [false, false, false];
  readonly data = [0x51, 0x52, 0x53];
  readonly pending = [false, false, false];
  readonly queueVector: Record<number, number> = { [RECEIVE]: 1, [TRANSMIT]: 2 };

  /** A queue has something to say. */
  raise(queue: number): void {
    const vector = this.queueVector[queue]!;
    if (this.enabled && vector < ENTRIES) this.pending[vector] = true;
  }

  /** The vectors that are delivered now. */
  deliver(): number[] {
    if (!this.enabled || this.functionMask) return [];
    const ready = this.pending.flatMap((pending, entry) => (pending && !this.masked[entry] ? [entry] : []));
    for (const entry of ready) this.pending[entry] = false;
    return [...new Set(ready.map((entry) => this.data[entry]!))].sort();
  }
}

class Harness {
  readonly machine: Machine = start("82574L");
  readonly driver: VirtioNetDriver = drive(this.machine, "82574L");
  readonly model = new Model();
  readonly received: number[] = [];
  readonly #capability = this.driver.pci.capability(CapabilityId.MsiX)!;
  readonly #table = this.driver.tableEntry(0);

  constructor() {
    const { guest } = this.machine;
    const vectors = [...this.model.data, ...Array.from({ length: VECTORS }, (_, i) => FIRST_VECTOR + i)];
    for (const vector of vectors) {
      guest.processor.handlers.set(vector, () => {
        this.received.push(vector);
        guest.write32(0xfee0_00b0, 0);
      });
    }
    this.driver.offerBuffers(100);
  }

  setControl(): void {
    const { enabled, functionMask } = this.model;
    this.driver.pci.write(this.#capability + 2, 2, (enabled ? ENABLE : 0) | (functionMask ? FUNCTION_MASK : 0));
  }
  setMask(entry: number): void {
    this.driver.guest.write32(this.#table + 16 * entry + 12, this.model.masked[entry] ? 1 : 0);
  }
  setData(entry: number): void {
    this.driver.guest.write32(this.#table + 16 * entry + 8, this.model.data[entry]!);
  }
  setQueueVector(queue: number): void {
    this.driver.setRegister(Virtio.QueueSelect, 2, queue);
    this.driver.setRegister(Virtio.QueueVector, 2, this.model.queueVector[queue]!);
  }
  pendingBits(): number {
    return this.driver.guest.read32(this.#table + PENDING);
  }

  /** One frame through a queue, whose interrupt the guest wants. */
  traffic(queue: number): void {
    if (queue === RECEIVE) this.machine.card.wire.inject(frame(100));
    else this.driver.send(frame(100));
    this.model.raise(queue);
    settle(this.machine, 2);
    this.driver.transmitQueue.takeUsed();
    this.driver.collect();
  }
}

function act(harness: Harness, next: (below: number) => number): void {
  const { model } = harness;
  const entry = next(ENTRIES);
  switch (next(7)) {
    case 0:
      model.masked[entry] = !model.masked[entry];
      harness.setMask(entry);
      break;
    case 1:
      model.functionMask = !model.functionMask;
      harness.setControl();
      break;
    case 2:
      model.data[entry] = FIRST_VECTOR + next(VECTORS);
      harness.setData(entry);
      break;
    case 3: {
      const queue = next(2);
      model.queueVector[queue] = [0, 1, 2, NO_VECTOR][next(4)]!;
      harness.setQueueVector(queue);
      break;
    }
    default:
      harness.traffic(next(2));
  }
}

describe("MSI-X", () => {
  it.each([1, 2, 3])("loses no interrupt and doubles none (sequence %i)", (seed) => {
    const harness = new Harness();
    const next = random(seed);
    for (let step = 0; step < STEPS; step++) {
      harness.received.length = 0;
      act(harness, next);
      settle(harness.machine, 1);
      const expected = harness.model.deliver();
      expect([...new Set(harness.received)].sort(), `step ${step}`).toEqual(expected);
      expect(harness.received.length, `step ${step}`).toBe(expected.length);
      if (step % 10 === 0) {
        const pending = harness.model.pending.reduce((bits, bit, i) => bits | (bit ? 1 << i : 0), 0);
        expect(harness.pendingBits()).toBe(pending);
      }
    }
  });

  it("changes to INTx and back while it runs", () => {
    const harness = new Harness();
    const { machine, driver, model } = harness;
    machine.guest.cli();
    for (let round = 0; round < 5; round++) {
      model.enabled = false;
      harness.setControl();
      machine.card.wire.inject(frame(100, round));
      machine.clock.advance(1_000_000);
      expect(machine.card.pci.interruptAsserted).toBe(true);
      expect(driver.isr() & 1).toBe(1);
      expect(driver.collect()).toEqual([frame(100, round)]);
      model.enabled = true;
      harness.setControl();
      harness.received.length = 0;
      machine.card.wire.inject(frame(100, round));
      machine.clock.advance(1_000_000);
      machine.guest.enableInterrupts();
      expect(harness.received).toEqual([model.data[1]]);
      expect(driver.collect()).toEqual([frame(100, round)]);
      machine.guest.cli();
    }
  });

  it("is not offered where the card has no MSI", () => {
    const driver = drive(start("82540EM"), "82540EM");
    expect(driver.pci.capability(CapabilityId.MsiX)).toBeUndefined();
  });
});
