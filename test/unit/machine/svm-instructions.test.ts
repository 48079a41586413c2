// The simulated processor with AMD-V: what its controls let the guest's instructions do (APM 2, 15.7 to 15.11 and 15.25).
import { beforeEach, describe, expect, test } from "vitest";
import { Gpr } from "../../../machine/guest/state.ts";
import { Control, Exit, Save } from "../../../machine/svm/vmcb.ts";
import { ADVANCE, Bench, CODE, IOPM, MSRPM, NESTED, VMCB } from "./svm-bench.ts";

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
    expect(bench.guest.fault(() => bench.guest.hypercall())?.vector).toBe(6);
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
    expect(guest.exits("nested page fault")).toBe(0);
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
