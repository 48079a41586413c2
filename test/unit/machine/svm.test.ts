import { beforeEach, describe, expect, test } from "vitest";
import { Machine } from "../../../machine/machine.ts";
import type { CoreExports } from "../../../machine/svm/core.ts";
import { Guest } from "../../../machine/svm/guest.ts";
import { Shutdown, SvmProcessor } from "../../../machine/svm/processor.ts";
import { Gpr } from "../../../machine/svm/state.ts";
import { Control, Exit, Save } from "../../../machine/svm/vmcb.ts";

const LINEAR = 0x200_0000;
const RUN = 0x2000;
const VMCB = LINEAR + 0x3000;
const IOPM = LINEAR + 0x4000;
const MSRPM = LINEAR + 0x8000;
const NESTED = LINEAR + 0xa000;
const CODE = 0x1_0000;
const ADVANCE: Readonly<Record<number, number>> = { [Exit.Cpuid]: 2, [Exit.Msr]: 2, [Exit.Vmmcall]: 3 };

/** A core of a few lines: what it does on an exit is the test's to say. */
class Bench implements CoreExports {
  readonly memory = { buffer: new ArrayBuffer(0x2_0000) };
  readonly machine = new Machine();
  readonly guest: Guest;
  /** Exit code, EXITINFO1 and EXITINFO2 of each exit. */
  readonly exits: [number, bigint, bigint][] = [];
  answer: (code: number) => void = () => undefined;

  constructor(prepare: (bench: Bench) => void = () => undefined, decodeAssists = false) {
    const { memory, apic } = this.machine;
    memory.mapLinear(LINEAR, this.memory.buffer);
    new DataView(this.memory.buffer).setBigUint64(RUN + 0x90, BigInt(VMCB), true);
    const { context } = this.machine.firmware;
    this.set(Control.InterceptMisc2, 1n);
    this.set(Control.Asid, 1n);
    this.set(Control.IopmBase, BigInt(IOPM));
    this.set(Control.MsrpmBase, BigInt(MSRPM));
    this.set(Save.Efer, 0x1d01n);
    this.set(Save.Cr0, 0x8001_0033n);
    this.set(Save.Cr3, BigInt(context.cr3));
    this.set(Save.Cr4, 0x668n);
    this.set(Save.Rflags, 2n);
    this.set(Save.Rip, BigInt(CODE));
    prepare(this);
    const options = { nextRipSave: true, decodeAssists, forbidTraps: false };
    this.guest = new Guest(new SvmProcessor(this, RUN, memory, apic, options), this.machine, CODE);
  }
  boot(): bigint {
    return 0n;
  }
  processor(): void {
    // there is no other
  }
  wake(): number {
    return 0;
  }
  vmxExit(): number {
    throw new Error("this processor has AMD-V");
  }
  vmxWake(): number {
    throw new Error("this processor has AMD-V");
  }
  exit(): number {
    const code = Number(this.get(Control.ExitCode));
    this.exits.push([code, this.get(Control.ExitInfo1), this.get(Control.ExitInfo2)]);
    this.answer(code);
    return 0;
  }
  trap(): number {
    return 1;
  }
  get(offset: number): bigint {
    return this.machine.memory.read64(VMCB + offset);
  }
  set(offset: number, value: bigint): void {
    this.machine.memory.write64(VMCB + offset, value);
  }
  intercept(...codes: number[]): void {
    for (const code of codes) {
      const offset = code < 0x80 ? Control.InterceptMisc1 : Control.InterceptMisc2;
      const word = this.machine.memory.read32(VMCB + offset);
      this.machine.memory.write32(VMCB + offset, word | (1 << (code & 31)));
    }
  }
  /** Goes on behind the instruction. */
  advance(bytes: number): void {
    this.set(Save.Rip, this.get(Save.Rip) + BigInt(bytes));
  }
  inject(word: bigint): void {
    this.set(Control.EventInjection, word);
  }
}

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
  bench.answer = (code) => bench.advance(ADVANCE[code] ?? 0);
});

describe("instructions", () => {
  test("that are not intercepted act on the machine", () => {
    const { guest, machine } = bench;
    guest.out(0x3e8, 1, 65);
    expect(machine.log()).toBe("A");
    expect(guest.cpuid(0x8000_000a)[1]).toBe(16);
    expect(guest.rdmsr(0x277)).toBe(0x0007_0406_0007_0406n);
    guest.write(0x5004, 2, 0x1234);
    expect(guest.read(0x5004, 4)).toBe(0x1234n);
    expect(bench.exits).toEqual([]);
  });

  test("that are intercepted exit once, and what the core left is the result", () => {
    bench.intercept(Exit.Cpuid);
    bench.answer = () => {
      bench.set(Save.Rax, 0x1111n);
      bench.advance(2);
    };
    expect(bench.guest.cpuid(0x4000_0000, 7)[0]).toBe(0x1111);
    expect(bench.exits).toEqual([[Exit.Cpuid, 0n, 0n]]);
    expect(bench.get(Control.NextRip)).toBe(BigInt(CODE + 2));
  });

  test("that the core does not get past are noticed", () => {
    bench.intercept(Exit.Cpuid);
    bench.answer = () => undefined;
    expect(() => bench.guest.cpuid(0)).toThrow("no progress");
  });

  test("of SVM raise #UD where they do not exit", () => {
    expect(bench.guest.fault(() => bench.guest.plain("vmload"))?.vector).toBe(6);
    expect(bench.guest.fault(() => bench.guest.vmmcall())?.vector).toBe(6);
  });
});

describe("I/O ports", () => {
  test("exit where the map has a bit under any byte of the access", () => {
    bench.intercept(Exit.Ioio);
    bench.machine.memory.write8(IOPM + (0x88 >> 3), 1 << (0x88 & 7));
    bench.answer = () => bench.set(Save.Rip, bench.get(Control.ExitInfo2));
    bench.guest.out(0x87, 1, 0);
    bench.guest.out(0x87, 4, 0);
    bench.guest.in(0x88, 1);
    expect(bench.exits.map(([, info1]) => info1)).toEqual([0x0087_0040n, 0x0088_0011n]);
    expect(bench.exits.map(([, , info2]) => info2)).toEqual([BigInt(CODE + 1), BigInt(CODE + 1)]);
  });

  test("a repeated string exits for each element until RIP moves on", () => {
    bench.intercept(Exit.Ioio);
    bench.machine.memory.write8(IOPM + (0x80 >> 3), 1);
    bench.answer = () => {
      const { processor } = bench.guest;
      processor.setGpr(Gpr.Rcx, processor.gpr(Gpr.Rcx) - 1n);
      if (processor.gpr(Gpr.Rcx) === 0n) bench.set(Save.Rip, bench.get(Control.ExitInfo2));
    };
    bench.guest.string("out", 0x80, 1, 0x5000, 3);
    expect(bench.exits.length).toBe(3);
    expect(bench.exits[0]![1] & 0x1fn).toBe(0x1cn);
  });
});

describe("MSRs", () => {
  test.each([
    [0x1b, MSRPM + 0x6, 1 << 6, 1 << 7],
    [0xc000_0080, MSRPM + 0x800 + 0x20, 1, 2],
    [0xc001_0117, MSRPM + 0x1000 + 0x45, 1 << 6, 1 << 7],
  ])("%i has its two bits in the map", (index, at, read, write) => {
    bench.intercept(Exit.Msr);
    bench.machine.memory.write8(at, read);
    bench.guest.rdmsr(index);
    expect(bench.exits).toEqual([[Exit.Msr, 0n, 0n]]);
    bench.machine.memory.write8(at, write);
    bench.guest.wrmsr(index, 0n);
    expect(bench.exits[1]).toEqual([Exit.Msr, 1n, 0n]);
  });

  test("outside the map always exit", () => {
    bench.intercept(Exit.Msr);
    bench.guest.rdmsr(0x2000);
    expect(bench.exits.length).toBe(1);
  });

  test("that do not exist raise #GP without an exit", () => {
    expect(bench.guest.fault(() => bench.guest.rdmsr(0x1234))).toMatchObject({ vector: 13, error: 0 });
  });

  test("that VMRUN and VMLOAD switch are those of the VMCB", () => {
    bench.guest.wrmsr(0xc000_0082, 0x1234n);
    expect(bench.get(Save.Lstar)).toBe(0x1234n);
    expect(bench.machine.msrs.read(0xc000_0082)).toBe(0n);
  });
});

describe("nested paging", () => {
  /** One PML4 entry, 1 GiB pages, but for the first 2 MiB of 4 KiB pages. */
  const nested = (decodeAssists = false): Bench => {
    const table = (n: number): number => NESTED + n * 0x1000;
    const result = new Bench(({ machine: { memory } }) => {
      for (let i = 0; i < 512; i++) {
        memory.write64(table(1) + 8 * i, BigInt(i) * 0x4000_0000n + 0x87n);
        memory.write64(table(2) + 8 * i, BigInt(i) * 0x20_0000n + 0x87n);
        memory.write64(table(3) + 8 * i, BigInt(i) * 0x1000n + 7n);
      }
      memory.write64(table(0), BigInt(table(1)) + 7n);
      memory.write64(table(1), BigInt(table(2)) + 7n);
      memory.write64(table(2), BigInt(table(3)) + 7n);
      memory.write64(VMCB + Control.NestedControl, 1n);
      memory.write64(VMCB + Control.NestedCr3, BigInt(table(0)));
    }, decodeAssists);
    result.answer = () => result.advance(2);
    return result;
  };
  const PAGE5 = NESTED + 0x3000 + 8 * 5;

  test("lets through what it maps, and goes where it says", () => {
    const { guest, machine } = nested();
    machine.memory.write64(PAGE5, 0x7007n);
    machine.memory.write32(0x7008, 0x1234);
    expect(guest.read32(0x5008)).toBe(0x1234);
    expect(guest.exits(Exit.NestedPageFault)).toBe(0);
  });

  test.each([
    ["absent, read", 0n, false, 0x1_0000_0004n],
    ["absent, written", 0n, true, 0x1_0000_0006n],
    ["read-only, written", 0x5005n, true, 0x1_0000_0007n],
    ["without U", 0x5003n, false, 0x1_0000_0005n],
  ])("a page that is %s faults", (_name, entry, write, info1) => {
    const result = nested();
    result.machine.memory.write64(PAGE5, entry);
    if (write) result.guest.write32(0x5008, 1);
    else result.guest.read32(0x5008);
    expect(result.exits).toEqual([[Exit.NestedPageFault, info1, 0x5008n]]);
  });

  test("with decode assists a fault brings the instruction", () => {
    const result = nested(true);
    result.machine.memory.write64(PAGE5, 0n);
    result.guest.write32(0x5008, 1);
    expect(result.machine.memory.read8(VMCB + 0xd0)).toBe(15);
    expect([...result.machine.memory.readBytes(VMCB + 0xd1, 2)]).toEqual([0x89, 0x08]);
  });

  test("faults on a fetch from a page without execution", () => {
    const result = nested();
    result.machine.memory.write64(NESTED + 0x3000 + 8 * 0x10, (1n << 63n) | 0x1_0007n);
    result.answer = () => result.machine.memory.write64(NESTED + 0x3000 + 8 * 0x10, 0x1_0007n);
    result.guest.read32(0x5008);
    expect(result.exits).toEqual([[Exit.NestedPageFault, 0x1_0000_0015n, BigInt(CODE)]]);
  });

  test("faults on the guest's own page tables as such", () => {
    const result = nested();
    const cr3 = result.machine.firmware.context.cr3;
    const at = NESTED + 0x2000 + 8 * Math.floor(cr3 / 0x20_0000);
    const entry = result.machine.memory.read64(at);
    result.machine.memory.write64(at, entry & ~2n);
    result.answer = () => result.machine.memory.write64(at, entry);
    result.guest.read32(0x5008);
    expect(result.exits).toEqual([[Exit.NestedPageFault, 0x2_0000_0007n, BigInt(cr3)]]);
  });

  test("remembers a translation until TLB_CONTROL empties the cache", () => {
    const result = nested();
    const { guest, machine } = result;
    guest.read32(0x5008);
    machine.memory.write64(PAGE5, 0x7007n);
    machine.memory.write32(0x7008, 0x1234);
    expect(guest.read32(0x5008)).toBe(0);
    result.intercept(Exit.Cpuid);
    result.answer = () => {
      machine.memory.write8(VMCB + Control.TlbControl, 1);
      result.advance(2);
    };
    guest.cpuid(0);
    expect(guest.read32(0x5008)).toBe(0x1234);
  });

  test("looks again before it faults on a remembered translation", () => {
    const result = nested();
    result.machine.memory.write64(PAGE5, 0x5005n);
    result.guest.read32(0x5008);
    result.machine.memory.write64(PAGE5, 0x5007n);
    result.guest.write32(0x5008, 1);
    expect(result.exits).toEqual([]);
  });
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
    expect(refused.guest.exits(-1)).toBe(1);
    expect(refused.guest.received).toEqual([]);
  });

  test("exits with -1 and runs once the state is repaired", () => {
    bench.intercept(Exit.Cpuid);
    bench.answer = (code) => {
      if (code === Exit.Cpuid) bench.advance(2);
      bench.set(Save.Cr0, code === Exit.Cpuid ? 0xa001_0033n : 0x8001_0033n);
    };
    bench.guest.cpuid(0);
    expect(bench.guest.exits(-1)).toBe(1);
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
