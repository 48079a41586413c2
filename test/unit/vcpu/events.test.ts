// Events of the guest: what was being delivered when an exit came, and interrupts that end the guest's run (AMD64
// Architecture Programmer's Manual volume 2, 15.20 and 15.21).
import { describe, expect, test } from "vitest";
import { Apic } from "../../../machine/apic.ts";
import { EventType, type GuestEvent } from "../../../machine/guest/events.ts";
import type { Machine } from "../../../machine/machine.ts";
import { VirtioNetDriver } from "../../../machine/driver/virtio-net.ts";
import { type Boot, VENDORS } from "./setup.ts";

const { External, Nmi, Exception, SoftwareInterrupt, SoftwareException } = EventType;
const NMI: GuestEvent = { type: Nmi, vector: 2, error: undefined };
/** Where the guest has no code of its own: hooked by nobody, mapped at boot. */
const PLAIN = 0x30_0000;

function external(vector: number): GuestEvent {
  return { type: External, vector, error: undefined };
}

/** What the next entry brings after an exit that came while `delivering` was on its way to the guest. */
function injectedAfter({ guest }: Machine, delivering: GuestEvent): GuestEvent | undefined {
  const { processor } = guest;
  processor.interruptsEnabled = true;
  const fault = { address: PLAIN, access: {}, tables: false, present: true, reserved: false, rights: 7 };
  processor.exitForFault(fault, delivering);
  return processor.injection;
}

/** Has external interrupts end the guest's run, as they do once a card may send a private vector. */
function withCard(boot: Boot): { machine: Machine; driver: VirtioNetDriver } {
  const machine = boot({ cards: [{ model: "82574L" }] });
  machine.clock.advance(5_000_000);
  const driver = new VirtioNetDriver(machine.guest, { vectors: { config: 0x51, receive: 0x52, transmit: 0x53 } });
  machine.guest.enableInterrupts();
  driver.start();
  driver.offerBuffers(8);
  machine.clock.advance(1_000_000);
  machine.guest.enableInterrupts();
  machine.guest.processor.received.length = 0;
  return { machine, driver };
}

/** The vector that the card sends. */
function privateVector({ card }: Machine): number {
  return card.pci.readConfig(0xd0 + 12, 2) & 0xff;
}

/** Deals with all that waits for the guest, and ends its handlers' interrupts. */
function receive({ guest, apic }: Machine): GuestEvent[] {
  guest.processor.received.length = 0;
  guest.enableInterrupts();
  const events = [...guest.received];
  while (apic.isr.highest() >= 0) apic.writeMmio(Apic.Eoi, 4, 0);
  return events;
}

describe.each(VENDORS)("%s", (_vendor, boot) => {
  describe("an event that an exit interrupted", () => {
    test.each<[string, GuestEvent, GuestEvent]>([
      ["an external interrupt", external(0x40), external(0x40)],
      ["an NMI", NMI, NMI],
      ["a page fault", { type: Exception, vector: 14, error: 2 }, { type: Exception, vector: 14, error: 2 }],
      ["a double fault", { type: Exception, vector: 8, error: 0 }, { type: Exception, vector: 8, error: 0 }],
      ["#UD", { type: Exception, vector: 6, error: undefined }, { type: Exception, vector: 6, error: undefined }],
    ])("comes again: %s", (_name, interrupted, expected) => {
      expect(injectedAfter(boot(), interrupted)).toEqual(expected);
    });

    test.each<[string, GuestEvent]>([
      ["a software interrupt", { type: SoftwareInterrupt, vector: 0x80, error: undefined }],
      ["INT3", { type: SoftwareException, vector: 3, error: undefined }],
      ["INTO", { type: SoftwareException, vector: 4, error: undefined }],
    ])("does not come again if its instruction does: %s", (_name, interrupted) => {
      expect(injectedAfter(boot(), interrupted)).toBeUndefined();
    });
  });

  describe("external interrupts", () => {
    test("go to the guest without an exit as long as no private vector is in use", () => {
      const machine = boot();
      machine.apic.accept(0x41);
      expect(receive(machine)).toEqual([external(0x41)]);
      expect(machine.guest.exits("interrupt")).toBe(0);
    });

    test.each([0x11, 0x1e, 0x20, 0x41, 0x80, 0xff])(
      "of vector %i, which is not Sheer's, are the guest's unchanged",
      (vector) => {
        const { machine } = withCard(boot);
        machine.apic.accept(vector);
        machine.guest.processor.received.length = 0;
        machine.guest.enableInterrupts();
        expect(machine.guest.received).toEqual([external(vector)]);
        expect(machine.guest.exits("interrupt")).toBeGreaterThan(0);
        expect(machine.apic.isr.highest()).toBe(vector);
      },
    );

    test("wait until the guest can take them", () => {
      const { machine } = withCard(boot);
      machine.guest.cli();
      machine.apic.accept(0x41);
      machine.guest.cpuid(0);
      expect(machine.guest.received).toEqual([]);
      machine.guest.sti();
      machine.guest.cpuid(0);
      expect(machine.guest.received).toEqual([external(0x41)]);
    });

    test("that are gone when they are acknowledged are no interrupt", () => {
      const { machine } = withCard(boot);
      machine.guest.processor.exitForInterrupt();
      expect(receive(machine)).toEqual([]);
    });
  });

  describe("a private vector", () => {
    test("becomes the guest's own, which stands in the APIC until the guest's EOI", () => {
      const { machine, driver } = withCard(boot);
      const vector = privateVector(machine);
      expect(vector).toBeGreaterThanOrEqual(0x10);
      expect(vector).toBeLessThan(0x20);
      machine.card.wire.inject([...machine.card.mac, ...Array.from({ length: 54 }, () => 7)]);
      machine.clock.advance(1_000_000);
      expect(receive(machine)).toEqual([external(0x52)]);
      expect(driver.frames.length).toBe(1);
      expect(machine.apic.isr.highest()).toBe(-1);
    });

    test("with nothing to say is retired, and the guest sees nothing of it", () => {
      const { machine } = withCard(boot);
      machine.apic.accept(privateVector(machine));
      machine.guest.processor.received.length = 0;
      machine.guest.enableInterrupts();
      expect(machine.guest.received).toEqual([]);
      expect(machine.apic.isr.highest()).toBe(-1);
      expect(machine.apic.irr.highest()).toBe(-1);
    });
  });

  describe("an NMI", () => {
    test("is the guest's, once", () => {
      const machine = boot();
      machine.nmi();
      expect(receive(machine)).toEqual([NMI]);
      expect(receive(machine)).toEqual([]);
    });

    test("that Sheer took in the interrupt window is passed on", () => {
      const { machine } = withCard(boot);
      machine.nmi();
      machine.guest.processor.exitForInterrupt();
      expect(receive(machine)).toEqual([NMI]);
    });

    test("and an interrupt taken in one window both arrive, once each", () => {
      const { machine } = withCard(boot);
      machine.guest.write32(0xfee0_0310, 0x0700_0000);
      machine.nmi();
      machine.apic.accept(0x41);
      machine.guest.processor.exitForInterrupt();
      const events = receive(machine);
      expect(events).toHaveLength(2);
      expect(events).toContainEqual(NMI);
      expect(events).toContainEqual(external(0x41));
      // What the guest has prepared for its next interprocessor interrupt is as it was.
      expect(machine.guest.read32(0xfee0_0310)).toBe(0x0700_0000);
    });

    test("and a private vector taken in one window both arrive", () => {
      const { machine } = withCard(boot);
      machine.guest.processor.interruptsEnabled = false;
      machine.card.wire.inject([...machine.card.mac, ...Array.from({ length: 54 }, () => 7)]);
      machine.clock.advance(1_000_000);
      machine.nmi();
      machine.guest.processor.interruptsEnabled = true;
      machine.guest.processor.exitForInterrupt();
      const events = receive(machine);
      expect(events).toHaveLength(2);
      expect(events).toContainEqual(NMI);
      expect(events).toContainEqual(external(0x52));
    });
  });
});
