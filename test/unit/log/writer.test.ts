// The log's thread: lines go out at the end of the exit that logged them, unless the UART is busy, which nobody waits for.
import { describe, expect, test } from "vitest";
import type { Machine } from "../../../machine/machine.ts";
import { Misc1 } from "../../../machine/svm/vmcb.ts";
import { VmxProcessor } from "../../../machine/vmx/processor.ts";
import { Field, Pin, Primary } from "../../../machine/vmx/vmcs.ts";
import { LOG, svmOf, VENDORS } from "../vcpu/setup.ts";

const APIC_BASE_MSR = 0x1b;
const MOVED = 0xfed0_0900n;
const ACCESSES = 20_000;

/** Has Sheer write a line: what it says of the first attempt to move the local APIC. */
function logLine({ guest }: Machine): void {
  guest.wrmsr(APIC_BASE_MSR, MOVED);
}

/** Whether external interrupts and HLT end the guest's run. */
function intercepts({ guest }: Machine): boolean[] {
  const { processor } = guest;
  if (!(processor instanceof VmxProcessor))
    return [Misc1.Intr, Misc1.Hlt].map((bit) => svmOf(guest).vmcb.hasMisc1(bit));
  const { vmcs } = processor;
  return [vmcs.controls(Field.PinBased, Pin.ExternalInterrupt), vmcs.controls(Field.ProcessorBased, Primary.Hlt)];
}

function uartOf({ uarts }: Machine): Machine["uarts"][number] {
  return uarts[2]!;
}

describe.each(VENDORS)("%s", (_vendor, boot) => {
  test.each(["off", "on"])(
    "a line is whole before the guest goes on, if the UART takes it (oneProcessor %s)",
    (one) => {
      const machine = boot({ loadOptions: `sheer.efi ${LOG} threads.oneProcessor=${one}` });
      machine.guest.cpuid(0);
      logLine(machine);
      expect(machine.log()).toMatch(/new APIC base.*\r\n$/);
      expect(intercepts(machine)).toEqual([false, false]);
    },
  );

  test("a busy UART is not waited for; the rest follows at later exits, which the guest's interrupts cause", () => {
    const machine = boot();
    machine.guest.cpuid(0);
    const before = machine.log();
    uartOf(machine).stuck = true;
    const start = machine.clock.now;
    logLine(machine);
    expect(machine.clock.now - start).toBeLessThan(ACCESSES);
    expect(intercepts(machine)).toEqual([true, true]);
    machine.guest.cpuid(0);
    expect(machine.log().length - before.length).toBeLessThanOrEqual(16); // what the FIFO had room for

    uartOf(machine).stuck = false;
    machine.guest.enableInterrupts();
    machine.apic.message(0xfee0_0000, 0x41);
    machine.guest.in(0x80, 1);
    expect(machine.guest.takeInterrupts()).toEqual([0x41]);
    expect(machine.guest.exits("interrupt")).toBe(1);
    expect(machine.log()).toMatch(/new APIC base.*\r\n$/);
    expect(machine.log().startsWith(before)).toBe(true);
    machine.guest.cpuid(0);
    expect(intercepts(machine)).toEqual([false, false]);
  });

  test("an idle guest leaves its time to the log, and then sleeps as it meant to", () => {
    const machine = boot();
    machine.guest.cpuid(0);
    uartOf(machine).stuck = true;
    logLine(machine);
    uartOf(machine).stuck = false;
    machine.guest.enableInterrupts();
    expect(machine.guest.hlt(1000)).toBe(false);
    expect(machine.guest.exits("hlt")).toBe(1);
    expect(machine.log()).toMatch(/new APIC base.*\r\n$/);
  });

  test("interrupts.intercept=off leaves the guest its interrupts meanwhile; the rest follows when it exits or idles", () => {
    const machine = boot({ loadOptions: `sheer.efi ${LOG} interrupts.intercept=off` });
    const { guest, apic } = machine;
    guest.cpuid(0);
    uartOf(machine).stuck = true;
    logLine(machine);
    expect(intercepts(machine)).toEqual([false, true]);
    guest.enableInterrupts();
    apic.message(0xfee0_0000, 0x41);
    guest.in(0x80, 1);
    expect(guest.takeInterrupts()).toEqual([0x41]);
    expect(guest.exits("interrupt")).toBe(0);
    uartOf(machine).stuck = false;
    expect(guest.hlt(1000)).toBe(false);
    expect(guest.exits("hlt")).toBe(1);
    expect(machine.log()).toMatch(/new APIC base.*\r\n$/);
    expect(intercepts(machine)).toEqual([false, false]);
  });

  test.each(["on", "off"])(
    "a guest that idles by MWAIT leaves its time to the log (interrupts.intercept=%s)",
    (intercept) => {
      const machine = boot({ loadOptions: `sheer.efi ${LOG} interrupts.intercept=${intercept}` });
      const { guest } = machine;
      guest.cpuid(0);
      uartOf(machine).stuck = true;
      logLine(machine);
      uartOf(machine).stuck = false;
      guest.plain("mwait");
      expect(machine.log()).toMatch(/new APIC base.*\r\n$/);
      expect(intercepts(machine)).toEqual([false, false]);
    },
  );

  test("what a broken UART never takes is dropped after a while, and the guest is left alone again", () => {
    const machine = boot();
    machine.guest.cpuid(0);
    uartOf(machine).stuck = true;
    logLine(machine);
    machine.guest.cpuid(0);
    expect(intercepts(machine)).toEqual([true, true]);
    machine.clock.advance(2_000_000_000);
    machine.guest.cpuid(0);
    machine.guest.cpuid(0);
    expect(intercepts(machine)).toEqual([false, false]);
  });

  test("an interrupt that waits while the guest has interrupts off does not stop it, though a thread waits for its time", () => {
    const machine = boot();
    const { guest, apic } = machine;
    guest.cpuid(0);
    uartOf(machine).stuck = true;
    logLine(machine);
    guest.cli();
    apic.accept(0x41);
    for (let i = 0; i < 5; i++) guest.cpuid(0);
    expect(guest.received).toEqual([]);
    expect(guest.exits("interrupt")).toBeLessThan(2);
    uartOf(machine).stuck = false;
    guest.enableInterrupts();
    expect(guest.takeInterrupts()).toEqual([0x41]);
    guest.cpuid(0);
    guest.cpuid(0);
    expect(machine.log()).toMatch(/new APIC base.*\r\n$/);
    expect(intercepts(machine)).toEqual([false, false]);
  });
});
