// interrupts.intercept: whether Sheer may have external interrupts end the guest's run, for the sake of the card's messages.
import { describe, expect, test } from "vitest";
import { EventType } from "../../../machine/guest/events.ts";
import type { Machine } from "../../../machine/machine.ts";
import type { CardModel } from "../../../machine/net/make.ts";
import { CapabilityId } from "../../../machine/pci/capabilities.ts";
import { Config } from "../../../machine/pci/function.ts";
import { PROCESSORS } from "../vcpu/setup.ts";
import {
  cardFunction,
  driveAs,
  frame,
  hasMessages,
  INTEL_MODELS,
  LINE_VECTOR,
  settle,
  start,
  VECTORS,
} from "./setup.ts";

const FRAMES = 5;
/** Message control of the 82574L's own capabilities, and what turns them on. */
const MSI = { control: 0xd2, enable: 1 } as const;
const MSIX = { control: 0xa2, enable: 0x8000 } as const;

function loadOptions(settings: string): string {
  return `sheer.efi log=0x3e8 ${settings}`;
}

function offersMessages(machine: Machine): boolean {
  return cardFunction(machine).capability(CapabilityId.MsiX) !== undefined;
}

function driveBy(machine: Machine, messages: boolean) {
  const driver = driveAs(machine, messages ? { vectors: VECTORS } : {});
  driver.offerBuffers(20);
  settle(machine);
  return driver;
}

/** Has one frame after the other come to the card; returns the vectors of the interrupts that the guest took. */
function receive(machine: Machine): number[] {
  const { received } = machine.guest.processor;
  received.length = 0;
  for (let i = 0; i < FRAMES; i++) {
    machine.nic.wire.inject(frame(100, i));
    settle(machine);
  }
  return received.filter(({ type }) => type === EventType.External).map(({ vector }) => vector);
}

const combinations = PROCESSORS.flatMap(([vendor, cpu]) =>
  (["on", "off"] as const).flatMap((intercept) =>
    INTEL_MODELS.flatMap((model) =>
      (["MSI-X if offered", "INTx"] as const).map((way) => ({ vendor, cpu, intercept, model, way })),
    ),
  ),
);

describe.each(combinations)(
  "$vendor, interrupts.intercept=$intercept, a $model, the guest uses $way:",
  (combination) => {
    const { cpu, intercept, model, way } = combination;
    const boot = (): Machine => start(model, { cpu, loadOptions: loadOptions(`interrupts.intercept=${intercept}`) });
    const offered = intercept === "on" && hasMessages(model);
    const messages = offered && way === "MSI-X if offered";

    test("frames come by what was agreed on, and interrupts end the guest's run only for Sheer's own vectors", () => {
      const machine = boot();
      expect(offersMessages(machine)).toBe(offered);
      const driver = driveBy(machine, messages);
      expect(receive(machine)).toEqual(Array(FRAMES).fill(messages ? VECTORS.receive : LINE_VECTOR));
      expect(driver.takeFrames()).toEqual(Array.from({ length: FRAMES }, (_, i) => frame(100, i)));
      driver.send(frame(200));
      settle(machine);
      expect(machine.nic.wire.sent).toEqual([frame(200)]);
      expect(machine.guest.exits("interrupt") > 0).toBe(messages);
      expect(machine.apic.isr.highest()).toBe(-1);
    });

    test("an interrupt that comes while the guest has interrupts off waits for it, whatever exits there are", () => {
      const machine = boot();
      const driver = driveBy(machine, messages);
      const { guest } = machine;
      guest.cli();
      guest.processor.received.length = 0;
      machine.nic.wire.inject(frame(100));
      machine.clock.advance(1_000_000);
      for (let i = 0; i < 3; i++) guest.cpuid(0);
      expect(guest.received).toEqual([]);
      guest.enableInterrupts();
      expect(guest.received.map(({ vector }) => vector)).toEqual([messages ? VECTORS.receive : LINE_VECTOR]);
      expect(driver.takeFrames()).toEqual([frame(100)]);
    });
  },
);

describe.each(PROCESSORS)("%s, interrupts.intercept=off", (_vendor, cpu) => {
  const boot = (settings = "", prepare?: (machine: Machine) => void, model: CardModel = "82574L"): Machine =>
    start(model, { cpu, loadOptions: loadOptions(`interrupts.intercept=off ${settings}`) }, prepare);

  test.each([
    ["MSI", MSI],
    ["MSI-X", MSIX],
  ])("a card that the firmware's driver has left at %s interrupts by its pin", (_what, { control, enable }) => {
    const machine = boot("", ({ card }) => card.pci.writeConfig(control, 2, enable));
    driveBy(machine, false);
    expect(receive(machine)).toEqual(Array(FRAMES).fill(LINE_VECTOR));
  });

  test("a card without an interrupt pin is left to the guest, and the log says why", () => {
    const machine = boot("", ({ card }) => card.pci.set(Config.InterruptPin, 1, 0));
    expect(cardFunction(machine).read(Config.VendorId, 4)).toBe(0x10d3_8086);
    expect(machine.log()).toMatch(/network card at 00:02.0 has no interrupt pin: with interrupts.intercept=off/);
  });

  test("net.interrupts=guest is ignored, and the log says why", () => {
    const machine = boot("net.interrupts=guest");
    expect(machine.log()).toMatch(/net.interrupts=guest is ignored: interrupts.intercept=off takes MSI-X away/);
    expect(offersMessages(machine)).toBe(false);
    driveBy(machine, false);
    expect(receive(machine)).toEqual(Array(FRAMES).fill(LINE_VECTOR));
    expect(machine.guest.exits("interrupt")).toBe(0);
  });

  test("net.interrupts=guest holds where the command line takes the file's interrupts.intercept=off back", () => {
    const machine = start("82574L", {
      cpu,
      files: { "\\EFI\\sheer\\sheer.conf": "interrupts.intercept=off\nnet.interrupts=guest" },
      loadOptions: loadOptions("interrupts.intercept=on"),
    });
    expect(machine.log()).not.toContain("is ignored");
    expect(offersMessages(machine)).toBe(true);
  });
});
