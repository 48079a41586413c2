// Interrupts of the machine's and of the mediated card's that come at the same moment: each reaches the guest once.
import { describe, expect, test } from "vitest";
import type { CpuidOptions } from "../../../machine/cpuid.ts";
import type { VirtioNetDriver } from "../../../machine/driver/virtio-net.ts";
import type { Machine } from "../../../machine/machine.ts";
import { PROCESSORS } from "../vcpu/setup.ts";
import { drive, frame, MODERATION, settle, start, VECTORS } from "./setup.ts";

const HIGH = 0xe1;
const LOW = 0x31;
const EOI = 0xfee0_00b0;

/** A machine whose card has a frame for the guest, which holds interrupts back; and the vectors that it is given. */
function prepare(cpu: CpuidOptions): { machine: Machine; driver: VirtioNetDriver; received: number[] } {
  const machine = start("82574L", { cpu, processors: 2 }); // with several, NMIs are exits
  const driver = drive(machine, "82574L");
  driver.offerBuffers(8);
  const received: number[] = [];
  const { guest } = machine;
  for (const vector of [HIGH, LOW, VECTORS.receive])
    guest.processor.handlers.set(vector, () => {
      received.push(vector);
      guest.write32(EOI, 0);
    });
  guest.cli();
  machine.nic.wire.inject(frame(200));
  machine.clock.advance(MODERATION);
  return { machine, driver, received };
}

describe.each(PROCESSORS)("under %s", (_vendor, cpu) => {
  test("all that waited come, by priority, where the card's own is the lowest", () => {
    const { machine, received } = prepare(cpu);
    const { apic } = machine.guest.processor;
    for (const vector of [LOW, HIGH]) apic.accept(vector);
    settle(machine);
    expect(received).toEqual([HIGH, LOW, VECTORS.receive]);
  });

  test.each([
    ["another interrupt", (machine: Machine) => machine.guest.processor.apic.accept(HIGH), [VECTORS.receive, HIGH]],
    ["an NMI", (machine: Machine) => (machine.guest.processor.apic.nmi = true), [VECTORS.receive]],
  ])("%s that comes just before the guest is given the card's takes nothing away", (_name, come, expected) => {
    const { machine, received } = prepare(cpu);
    const { processor } = machine.guest;
    let exits = 0;
    const noted = processor.onExit;
    processor.onExit = (kind) => {
      noted(kind);
      if (kind === "interrupt" && exits++ === 0) come(machine); // answered; the entry has not brought it yet
    };
    settle(machine);
    expect(exits).toBeGreaterThan(0);
    expect(received).toEqual(expected);
    settle(machine);
    expect(received).toEqual(expected);
  });
});
