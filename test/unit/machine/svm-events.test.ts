// The simulated processor with AMD-V: events, VMRUN's checks, and traps of the core (APM 2, 15.5, 15.20 and 15.21).
import { beforeEach, describe, expect, test } from "vitest";
import { Shutdown } from "../../../machine/guest/events.ts";
import { Gpr } from "../../../machine/guest/state.ts";
import { Control, Exit, Save } from "../../../machine/svm/vmcb.ts";
import { ADVANCE, Bench } from "./svm-bench.ts";

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
  bench.answer = (code) => bench.advance(ADVANCE[code] ?? 0);
});

describe("events", () => {
  test("an injected exception is what the instruction meets", () => {
    bench.intercept(Exit.Cpuid);
    bench.answer = () => bench.inject(0x8000_0b0dn | (0x18n << 32n));
    expect(bench.guest.fault(() => bench.guest.cpuid(0))).toMatchObject({ vector: 13, error: 0x18 });
    expect(bench.get(Control.EventInjection) >> 31n).toBe(0x30n);
  });

  test("a page fault brings CR2", () => {
    bench.intercept(Exit.Cpuid);
    bench.answer = () => {
      bench.set(Save.Cr2, 0xdead_b000n);
      bench.inject(0x8000_0b0en | (6n << 32n));
    };
    expect(bench.guest.fault(() => bench.guest.cpuid(0))).toMatchObject({
      vector: 14,
      error: 6,
      address: 0xdead_b000n,
    });
  });

  test("interrupts wait for IF, and go straight to the guest without the intercept", () => {
    bench.machine.apic.accept(0x55);
    bench.guest.cpuid(0);
    expect(bench.guest.received).toEqual([]);
    bench.guest.enableInterrupts();
    expect(bench.guest.takeInterrupts()).toEqual([0x55]);
    expect(bench.machine.apic.isr.has(0x55)).toBe(true);
  });

  test("with the intercept the core is asked, and what it injects arrives", () => {
    bench.intercept(Exit.Intr);
    bench.answer = () => {
      bench.machine.apic.acknowledge();
      bench.inject(0x8000_0077n);
    };
    bench.machine.apic.accept(0x13);
    bench.guest.enableInterrupts();
    expect(bench.exits).toEqual([[Exit.Intr, 0n, 0n]]);
    expect(bench.guest.takeInterrupts()).toEqual([0x77]);
  });

  test("V_INTR_MASKING gives interrupts to the core whatever the guest's IF", () => {
    bench.intercept(Exit.Intr);
    bench.set(Control.VirtualInterrupt, 1n << 24n);
    bench.answer = () => bench.machine.apic.acknowledge();
    bench.machine.apic.accept(0x55);
    bench.guest.cpuid(0);
    expect(bench.exits.length).toBe(1);
  });

  test("an interrupt injected while IF is clear is the core's mistake", () => {
    bench.intercept(Exit.Cpuid);
    bench.answer = () => {
      bench.inject(0x8000_0077n);
      bench.advance(2);
    };
    expect(() => bench.guest.cpuid(0)).toThrow("interrupts were off");
  });

  test("STI holds interrupts back for one instruction", () => {
    bench.machine.apic.accept(0x55);
    bench.guest.sti();
    const seen: number[] = [];
    bench.machine.ports.onAccess = () => seen.push(bench.guest.received.length);
    bench.guest.in(0x80, 1);
    expect(seen).toEqual([0]);
    expect(bench.guest.takeInterrupts()).toEqual([0x55]);
  });

  test("a virtual interrupt opens a window, or is delivered", () => {
    bench.guest.processor.interruptsEnabled = true;
    bench.set(Control.VirtualInterrupt, (0x66n << 32n) | (1n << 20n) | (1n << 8n));
    bench.guest.cpuid(0);
    expect(bench.guest.takeInterrupts()).toEqual([0x66]);
    bench.intercept(Exit.Vintr);
    bench.set(Control.VirtualInterrupt, (1n << 20n) | (1n << 8n));
    bench.answer = () => bench.set(Control.VirtualInterrupt, 0n);
    bench.guest.cpuid(0);
    expect(bench.exits).toEqual([[Exit.Vintr, 0n, 0n]]);
  });

  test("NMIs come whatever IF is, one at a time", () => {
    bench.machine.nmi();
    bench.guest.processor.handlers.set(2, () => {
      bench.machine.nmi();
      bench.guest.processor.handlers.delete(2);
      bench.guest.in(0x80, 1);
      expect(bench.guest.received.length).toBe(1);
    });
    bench.guest.in(0x80, 1);
    expect(bench.guest.received.map(({ vector }) => vector)).toEqual([2, 2]);
  });

  test("a handler runs with IF clear, and leaves registers as they were", () => {
    const { processor } = bench.guest;
    processor.handlers.set(0x55, () => {
      expect(processor.interruptsEnabled).toBe(false);
      bench.guest.in(0x80, 4);
    });
    processor.setGpr(Gpr.Rdx, 7n);
    bench.machine.apic.accept(0x55);
    bench.guest.enableInterrupts();
    expect(processor.gpr(Gpr.Rdx)).toBe(7n);
    expect(processor.interruptsEnabled).toBe(true);
  });

  test("a triple fault that nobody intercepts is a shutdown", () => {
    expect(() => bench.guest.tripleFault()).toThrow(Shutdown);
    bench.intercept(Exit.Shutdown);
    bench.guest.tripleFault();
    expect(bench.exits).toEqual([[Exit.Shutdown, 0n, 0n]]);
  });
});

describe("VMRUN", () => {
  test.each([
    ["EFER.SVME is zero", Save.Efer, 0xd01n],
    ["VMRUN intercept is clear", Control.InterceptMisc2, 0n],
    ["ASID is zero", Control.Asid, 0n],
    ["CR0.NW is set", Save.Cr0, 0xa001_0033n],
    ["CR4.PAE is zero", Save.Cr4, 0n],
  ])("refuses a state in which %s", (sentence, offset, value) => {
    expect(() => new Bench((broken) => broken.set(offset, value))).toThrow(sentence);
  });

  test("refuses to inject what is no exception, once: the exit takes it away", () => {
    const refused = new Bench((broken) => broken.set(Control.EventInjection, 0x8000_0302n));
    expect(refused.guest.exits("invalid")).toBe(1);
    expect(refused.guest.received).toEqual([]);
  });

  test("exits with -1 and runs once the state is repaired", () => {
    bench.intercept(Exit.Cpuid);
    bench.answer = (code) => {
      if (code === Exit.Cpuid) bench.advance(2);
      bench.set(Save.Cr0, code === Exit.Cpuid ? 0xa001_0033n : 0x8001_0033n);
    };
    bench.guest.cpuid(0);
    expect(bench.guest.exits("invalid")).toBe(1);
  });
});

describe("a trap of the core", () => {
  test("is reported to it, and the guest goes on if it says so", () => {
    bench.intercept(Exit.Cpuid);
    let first = true;
    bench.answer = () => {
      bench.advance(2);
      if (first) {
        first = false;
        throw new WebAssembly.RuntimeError("unreachable");
      }
    };
    bench.guest.cpuid(0);
    bench.guest.cpuid(0);
    expect(bench.guest.processor.traps.length).toBe(1);
  });

  test("that is no trap but a test's own failure is passed on", () => {
    bench.intercept(Exit.Cpuid);
    bench.answer = () => {
      throw new Error("not a trap");
    };
    expect(() => bench.guest.cpuid(0)).toThrow("not a trap");
  });
});
