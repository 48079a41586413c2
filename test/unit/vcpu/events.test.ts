// Events of the guest: what was being delivered when an exit came, and interrupts that end the guest's run (AMD64
// Architecture Programmer's Manual volume 2, 15.20 and 15.21).
import { describe, expect, test } from "vitest";
import { Apic } from "../../../machine/apic.ts";
import type { Machine } from "../../../machine/machine.ts";
import { Control, EventType, Exit, parseEvent, type VmcbEvent } from "../../../machine/svm/vmcb.ts";
import { VirtioNetDriver } from "../../../machine/driver/virtio-net.ts";
import { boot, EXCEPTION } from "./setup.ts";

const { External, Nmi, Exception, Software } = EventType;
const NMI: VmcbEvent = { type: Nmi, vector: 2, error: undefined };
/** Where the guest has no code of its own: hooked by nobody, mapped at boot. */
const PLAIN = 0x30_0000;

function external(vector: number): VmcbEvent {
  return { type: External, vector, error: undefined };
}

/** What the next VMRUN injects after an exit that came while `interrupted` was being delivered. */
function injectedAfter(machine: Machine, interrupted: VmcbEvent | undefined): VmcbEvent | undefined {
  const { processor } = machine.guest;
  const present = { info1: (1n << 32n) | 7n, info2: PLAIN };
  processor.exit(Exit.NestedPageFault, interrupted ? { ...present, interrupted } : present);
  return parseEvent(processor.vmcb.get(Control.EventInjection));
}

describe("an event that an exit interrupted", () => {
  test.each<[string, VmcbEvent, VmcbEvent]>([
    ["an external interrupt", external(0x40), external(0x40)],
    ["an NMI", NMI, NMI],
    ["a page fault", { type: Exception, vector: 14, error: 2 }, { type: Exception, vector: 14, error: 2 }],
    ["a double fault", { type: Exception, vector: 8, error: 0 }, { type: Exception, vector: 8, error: 0 }],
    ["#UD", { type: Exception, vector: 6, error: undefined }, { type: Exception, vector: 6, error: undefined }],
    ["#VC, the last", { type: Exception, vector: 29, error: 1 }, { type: Exception, vector: 29, error: 1 }],
    // Some processors call everything an exception.
    ["an external interrupt called an exception", { type: Exception, vector: 0x40, error: undefined }, external(0x40)],
    ["vector 32 called an exception", { type: Exception, vector: 32, error: undefined }, external(32)],
    ["an NMI called an exception", { type: Exception, vector: 2, error: undefined }, NMI],
  ])("comes again: %s", (_name, interrupted, expected) => {
    expect(injectedAfter(boot(), interrupted)).toEqual(expected);
  });

  test.each<[string, VmcbEvent]>([
    ["a software interrupt", { type: Software, vector: 0x80, error: undefined }],
    ["INT3", { type: Exception, vector: 3, error: undefined }],
    ["INTO", { type: Exception, vector: 4, error: undefined }],
  ])("does not come again if its instruction does: %s", (_name, interrupted) => {
    expect(injectedAfter(boot(), interrupted)).toBeUndefined();
  });

  test("is none if the processor only left its old bits", () => {
    const machine = boot();
    const { processor } = machine.guest;
    const stale = processor.vmcb;
    expect(injectedAfter(machine, undefined)).toBeUndefined();
    stale.set(Control.ExitIntInfo, 0x340n);
    stale.set(Control.ExitCode, 0x400n);
    stale.set(Control.ExitInfo2, BigInt(PLAIN));
    machine.core.exit(processor.run);
    expect(parseEvent(stale.get(Control.EventInjection))).toBeUndefined();
  });
});

/** Has external interrupts end the guest's run, as they do once a card may send a private vector. */
function withCard(): { machine: Machine; driver: VirtioNetDriver } {
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
function receive({ guest, apic }: Machine): VmcbEvent[] {
  guest.processor.received.length = 0;
  guest.enableInterrupts();
  const events = [...guest.received];
  while (apic.isr.highest() >= 0) apic.writeMmio(Apic.Eoi, 4, 0);
  return events;
}

describe("external interrupts", () => {
  test("go to the guest without an exit as long as no private vector is in use", () => {
    const machine = boot();
    machine.apic.accept(0x41);
    expect(receive(machine)).toEqual([external(0x41)]);
    expect(machine.guest.exits(Exit.Intr)).toBe(0);
  });

  test.each([0x11, 0x1e, 0x20, 0x41, 0x80, 0xff])(
    "of vector %i, which is not Sheer's, are the guest's unchanged",
    (vector) => {
      const { machine } = withCard();
      machine.apic.accept(vector);
      machine.guest.processor.received.length = 0;
      machine.guest.enableInterrupts();
      expect(machine.guest.received).toEqual([external(vector)]);
      expect(machine.guest.exits(Exit.Intr)).toBeGreaterThan(0);
      expect(machine.apic.isr.highest()).toBe(vector);
    },
  );

  test("wait until the guest can take them", () => {
    const { machine } = withCard();
    machine.guest.cli();
    machine.apic.accept(0x41);
    const before = machine.guest.exits(Exit.Intr);
    machine.guest.cpuid(0);
    expect(machine.guest.exits(Exit.Intr)).toBe(before);
    machine.guest.sti();
    machine.guest.cpuid(0);
    expect(machine.guest.received).toEqual([external(0x41)]);
  });

  test("that are gone when they are acknowledged are no interrupt", () => {
    const { machine } = withCard();
    machine.guest.processor.exit(Exit.Intr);
    expect(receive(machine)).toEqual([]);
  });
});

describe("a private vector", () => {
  test("becomes the guest's own, which stands in the APIC until the guest's EOI", () => {
    const { machine, driver } = withCard();
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
    const { machine } = withCard();
    machine.apic.accept(privateVector(machine));
    machine.guest.processor.received.length = 0;
    machine.guest.enableInterrupts();
    expect(machine.guest.received).toEqual([]);
    expect(machine.apic.isr.highest()).toBe(-1);
    expect(machine.apic.irr.highest()).toBe(-1);
  });
});

describe("an NMI", () => {
  test("goes straight to the guest", () => {
    const machine = boot();
    machine.nmi();
    expect(receive(machine)).toEqual([NMI]);
    expect(machine.guest.exits(Exit.Nmi)).toBe(0);
  });

  test("that Sheer took in the interrupt window is passed on", () => {
    const { machine } = withCard();
    machine.nmi();
    machine.guest.processor.exit(Exit.Intr);
    expect(receive(machine)).toEqual([NMI]);
  });

  test("and an interrupt taken in one window both arrive, once each", () => {
    const { machine } = withCard();
    machine.guest.write32(0xfee0_0310, 0x0700_0000);
    machine.nmi();
    machine.apic.accept(0x41);
    machine.guest.processor.exit(Exit.Intr);
    const events = receive(machine);
    expect(events).toHaveLength(2);
    expect(events).toContainEqual(NMI);
    expect(events).toContainEqual(external(0x41));
    // What the guest has prepared for its next interprocessor interrupt is as it was.
    expect(machine.guest.read32(0xfee0_0310)).toBe(0x0700_0000);
  });

  test("and a private vector taken in one window both arrive", () => {
    const { machine } = withCard();
    machine.guest.processor.interruptsEnabled = false;
    machine.card.wire.inject([...machine.card.mac, ...Array.from({ length: 54 }, () => 7)]);
    machine.clock.advance(1_000_000);
    machine.nmi();
    machine.guest.processor.interruptsEnabled = true;
    machine.guest.processor.exit(Exit.Intr);
    const events = receive(machine);
    expect(events).toHaveLength(2);
    expect(events).toContainEqual(NMI);
    expect(events).toContainEqual(external(0x52));
  });
});

describe("an exit without an instruction of the guest's", () => {
  test.each([0xffff_ffffn, Exit.Invalid])("VMEXIT_INVALID as %i is #GP for the register that was written", (code) => {
    const { guest } = boot();
    const { rip } = guest.processor;
    guest.processor.exit(code);
    expect(guest.fault(() => guest.processor.settle())).toMatchObject({
      vector: EXCEPTION.generalProtection,
      error: 0,
    });
    expect(guest.processor.rip).toBe(rip);
  });

  test("INIT is held", () => {
    const { guest } = boot();
    const { rip } = guest.processor;
    guest.processor.exit(0x63);
    expect(parseEvent(guest.processor.vmcb.get(Control.EventInjection))).toBeUndefined();
    expect(guest.processor.rip).toBe(rip);
  });
});
