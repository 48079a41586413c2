// How processors come to run the guest: the firmware sends each into Sheer (UEFI PI Specification 1.8, volume 2, 13.4).
import { describe, expect, test } from "vitest";
import type { Machine } from "../../../machine/machine.ts";
import type { ProcessorOptions } from "../../../machine/processor.ts";
import { Msr } from "../../../machine/msrs.ts";
import { Gpr, Segment } from "../../../machine/guest/state.ts";
import { boot as bootAmd, VENDORS } from "../vcpu/setup.ts";

const SVME = 1n << 12n;
const STARTUP = "StartupThisAP";
/** As many as have a stack. */
const MAXIMUM = 64;

function lines(log: string, part: string): string[] {
  return log.split("\r\n").filter((line) => line.includes(part));
}

describe.each(VENDORS)("%s", (_vendor, boot) => {
  describe("processors", () => {
    test.each([1, 2, 3, 4])("all run the guest: %i", (count) => {
      const machine = boot({ processors: count });
      expect(machine.guests.length).toBe(count);
      expect(machine.firmware.count(STARTUP)).toBe(count - 1);
      machine.guests.forEach((guest, number) => expect(guest.cpuid(1)[1] >>> 24).toBe(number));
      expect(machine.log()).toContain(`${count} of ${count} processors run the guest`);
    });

    test("are told apart by their local APICs, not by the firmware's numbers", () => {
      const machine = boot({ processors: [{ apicId: 4 }, { apicId: 9 }, { apicId: 2 }] });
      expect(machine.guests.map((guest) => guest.cpuid(1)[1] >>> 24)).toEqual([4, 9, 2]);
      expect(machine.guests.map((guest) => guest.read32(0xfee0_0020) >>> 24)).toEqual([4, 9, 2]);
    });

    test("go back to what they did for the firmware, with the procedure's work done", () => {
      const machine = boot({ processors: 3 });
      machine.guests.forEach(({ processor }, number) => {
        if (number === 0) return;
        expect(processor.rip).toBe(BigInt(machine.firmware.loopOf(number)));
        expect(processor.gpr(Gpr.Rax)).toBe(0n);
        expect(processor.gpr(Gpr.Rbx)).toBe(0x1111_0000_0000_0003n | (BigInt(number) << 32n));
        expect(processor.gpr(Gpr.R15)).toBe(0x1111_0000_0000_000fn | (BigInt(number) << 32n));
        expect(processor.gpr(Gpr.Rsp) % 16n).toBe(8n);
        expect(processor.interruptsEnabled).toBe(true);
        expect(processor.controlRegister(3)).toBe(BigInt(machine.firmware.context.cr3));
        expect(processor.segment(Segment.Cs).selector).toBe(machine.firmware.context.codeSelector);
      });
    });

    // A processor may refuse to enter long mode with a task register of another kind.
    test("have the task register out of reset, where the firmware has loaded none (AMD APM 2, table 14-1)", () => {
      for (const { processor } of boot({ processors: 2 }).guests)
        expect(processor.segment(Segment.Tr)).toEqual({ selector: 0, attributes: 0x8b, limit: 0xffff, base: 0n });
    });

    test("are all there are where the firmware has no services for them", () => {
      const machine = boot({ processors: 2, noMpServices: true });
      expect(machine.guests.length).toBe(1);
      expect(machine.guest.cpuid(1)[1] >>> 24).toBe(0);
    });
  });

  describe("a processor that does not run the guest", () => {
    const cases: readonly [string, ProcessorOptions, number][] = [
      ["is one that the firmware has found faulty", { disabled: true, faulty: true }, 1],
      ["is one that does not answer", { answers: "never" }, 2],
      ["is one that answers too late", { answers: "late" }, 2],
    ];

    test.each(cases)("%s", (_name, options, started) => {
      const machine = boot({ processors: [{}, options, {}] });
      machine.clock.advance(10_000_000);
      expect(machine.guests).toEqual([machine.guest, machine.processor(2).guest]);
      expect(machine.firmware.count(STARTUP)).toBe(started);
      expect(machine.processor(1).msrs.read(Msr.Efer) & SVME).toBe(0n);
      expect(machine.processor(1).vmx?.on ?? false).toBe(false);
      expect(machine.log()).toContain("2 of 3 processors run the guest");
      const complaint = options.faulty
        ? "is faulty, the firmware says, and stays off"
        : "does not answer, and stays off";
      expect(lines(machine.log(), `processor 1 ${complaint}`).length).toBe(1);
      // The others are what they are without it.
      expect(machine.processor(2).guest.cpuid(1)[1] >>> 24).toBe(2);
      expect(machine.processor(1).apic.nmi).toBe(false);
    });

    test("has the firmware wait for a second, and no longer", () => {
      const machine = boot({ processors: [{}, { answers: "never" }] });
      const [call] = machine.firmware.calls.filter(({ name }) => name === STARTUP);
      expect(call!.args[4]).toBe(1_000_000n);
      expect(machine.clock.now).toBeGreaterThan(1e9);
      expect(machine.clock.now).toBeLessThan(2e9);
    });
  });

  describe("a processor that the firmware has turned off", () => {
    const turnedOff = (): Machine => boot({ processors: [{}, { disabled: true }, {}] });

    test("runs the guest like the others, for the guest may turn it on", () => {
      const machine = turnedOff();
      expect(machine.guests.length).toBe(3);
      expect(machine.log()).toContain("3 of 3 processors run the guest");
      expect(machine.processor(1).guest.cpuid(1)[1] >>> 24).toBe(1);
    });

    test("is off afterwards as before", () => {
      const calls = turnedOff().firmware.calls.filter(({ name }) => name === "EnableDisableAP");
      expect(calls.map(({ args }) => [args[1], args[2]! & 0xffn])).toEqual([
        [1n, 1n],
        [1n, 0n],
      ]);
    });
  });

  test("there is room for 64 processors", () => {
    const machine = boot({ processors: MAXIMUM });
    expect(machine.guests.length).toBe(MAXIMUM);
    expect(machine.processor(MAXIMUM - 1).guest.cpuid(1)[1] >>> 24).toBe(MAXIMUM - 1);
  });
});

test("processors have AMD-V turned on, each with a page of its own for the host's state", () => {
  const { all } = bootAmd({ processors: 4 }).processors;
  for (const { msrs } of all) expect(msrs.read(Msr.Efer) & SVME).toBe(SVME);
  expect(new Set(all.map(({ msrs }) => msrs.read(Msr.VmHsavePa))).size).toBe(4);
});

test("a processor on which AMD-V is disabled stays off", () => {
  const machine = bootAmd({ processors: [{}, { svmDisabled: true }, {}] });
  machine.clock.advance(10_000_000);
  expect(machine.guests).toEqual([machine.guest, machine.processor(2).guest]);
  expect(machine.processor(1).msrs.read(Msr.Efer) & SVME).toBe(0n);
  expect(lines(machine.log(), "processor 1 does not answer, and stays off").length).toBe(1);
});
