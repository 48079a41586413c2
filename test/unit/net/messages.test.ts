// What the card's MSI carries: a private vector, or the message that the guest wrote for frames received.
import { describe, expect, test } from "vitest";
import { Apic, APIC_BASE } from "../../../machine/apic.ts";
import type { CpuidOptions } from "../../../machine/cpuid.ts";
import { NO_VECTOR, RECEIVE, Virtio } from "../../../machine/driver/virtio-net.ts";
import type { Machine } from "../../../machine/machine.ts";
import { EventType } from "../../../machine/guest/events.ts";
import { INTEL } from "../vcpu/setup.ts";
import { drive, frame, settle, start, VECTORS } from "./setup.ts";

const MSI = 0xd0;
const CONTROL = 2;
const DATA = 12;
const PRIVATE = 0x10;
/** A task priority that holds back class 2 but not the class of the guest's own vectors. */
const RAISED = 0x20;

function bootOn(cpu: CpuidOptions, interrupts: "private" | "guest") {
  const machine = start("82574L", { cpu, loadOptions: `sheer.efi log=0x3e8 net.interrupts=${interrupts}` });
  const driver = drive(machine, "82574L");
  driver.offerBuffers(20);
  settle(machine);
  machine.guest.takeInterrupts();
  return { machine, driver };
}

/** Data of the card's own MSI, which is its vector, while it is on. */
function sentVector({ card }: Machine): number | undefined {
  return card.pci.get(MSI + CONTROL, 2) & 1 ? card.pci.get(MSI + DATA, 2) : undefined;
}

function vectors(machine: Machine): number[] {
  return machine.guest.received.filter(({ type }) => type === EventType.External).map(({ vector }) => vector);
}

/** Has a frame come to the card; returns the vectors that the guest was given for it. */
function receive(machine: Machine): number[] {
  machine.guest.processor.received.length = 0;
  machine.card.wire.inject(frame(100));
  settle(machine);
  return vectors(machine);
}

describe.each<[string, CpuidOptions]>([
  ["AMD-V", {}],
  ["VT-x", INTEL],
])("%s", (_vendor, cpu) => {
  const boot = (interrupts: "private" | "guest") => bootOn(cpu, interrupts);

  describe("net.interrupts=guest", () => {
    test("has the card send what the guest wrote for frames received", () => {
      const { machine, driver } = boot("guest");
      expect(sentVector(machine)).toBe(VECTORS.receive);
      expect(receive(machine)).toEqual([VECTORS.receive]);
      driver.collect();
      expect(driver.frames.length).toBe(1);
    });

    test("leaves nothing in service after the guest's EOI", () => {
      const { machine } = boot("guest");
      for (let i = 0; i < 5; i++) expect(receive(machine)).toEqual([VECTORS.receive]);
      expect(machine.apic.isr.highest()).toBe(-1);
    });

    test("follows the guest's changes of the message", () => {
      const { machine, driver } = boot("guest");
      machine.guest.processor.handlers.set(0x71, () => machine.guest.write32(APIC_BASE + Apic.Eoi, 0));
      machine.guest.write32(driver.tableEntry(1) + 8, 0x71);
      expect(sentVector(machine)).toBe(0x71);
      expect(receive(machine)).toEqual([0x71]);
    });

    test.each([
      ["is masked", (at: number, { guest }: Machine) => guest.write32(at + 12, 1)],
      ["has a vector that no message has", (at: number, { guest }: Machine) => guest.write32(at + 8, 5)],
      ["is no interrupt's", (at: number, { guest }: Machine) => guest.write32(at, 0x1000)],
    ])("goes back to a private vector while the message %s", (_what, change) => {
      const { machine, driver } = boot("guest");
      change(driver.tableEntry(1), machine);
      expect(sentVector(machine)).toBe(PRIVATE);
      expect(receive(machine)).toEqual([]);
    });

    test("goes back to a private vector while the queue has none", () => {
      const { machine, driver } = boot("guest");
      driver.setRegister(Virtio.QueueSelect, 2, RECEIVE);
      driver.setRegister(Virtio.QueueVector, 2, NO_VECTOR);
      expect(sentVector(machine)).toBe(PRIVATE);
    });

    test("lets a frame sent call the guest by its own vector", () => {
      const { machine, driver } = boot("guest");
      machine.guest.processor.received.length = 0;
      driver.send(frame(100));
      settle(machine);
      expect(vectors(machine)).toContain(VECTORS.transmit);
    });
  });

  describe("a raised task priority", () => {
    test("of class 1 is only shown to the guest", () => {
      const { machine } = boot("private");
      machine.guest.write32(APIC_BASE + Apic.Tpr, 0x10);
      expect(machine.guest.read32(APIC_BASE + Apic.Tpr)).toBe(0x10);
      expect(sentVector(machine)).toBe(PRIVATE);
      expect(receive(machine)).toEqual([VECTORS.receive]);
    });

    test.each([
      ["in the local APIC's page", (machine: Machine) => machine.guest.write32(APIC_BASE + Apic.Tpr, RAISED)],
      ["by CR8", (machine: Machine) => machine.guest.writeCr(8, BigInt(RAISED >> 4))],
      ["by CR8, of class 1", (machine: Machine) => machine.guest.writeCr(8, 1n)],
    ])("%s does not keep the guest's own vectors back", (_how, raise) => {
      const { machine } = boot("private");
      raise(machine);
      expect(sentVector(machine)).toBe(VECTORS.receive);
      expect(receive(machine)).toEqual([VECTORS.receive]);
      expect(machine.log()).toMatch(/task priority keeps private vectors back/);
    });

    test("keeps back what it is meant to, until it is lowered", () => {
      const { machine } = boot("private");
      machine.guest.writeCr(8, BigInt(VECTORS.receive >> 4));
      expect(receive(machine)).toEqual([]);
      machine.guest.writeCr(8, 0n);
      settle(machine);
      expect(vectors(machine)).toContain(VECTORS.receive);
    });

    test("beyond 15 in CR8 is a general protection fault", () => {
      const { machine } = boot("private");
      expect(machine.guest.fault(() => machine.guest.writeCr(8, 16n))?.vector).toBe(13);
    });

    test("costs one exit for CR8 and none after that", () => {
      const { machine } = boot("private");
      for (let i = 0; i < 5; i++) machine.guest.writeCr(8, 3n);
      expect(machine.guest.exits("control register")).toBe(1);
    });
  });
});
